"""What becomes of processes: at the end of the interpreter, when it is killed or interrupted, and after forks."""

import os
import signal
import subprocess
import sys

from conftest import eventually, is_alive, run_script

ENDLESS = """
import os, sys, time, poolmap
def endless(_):
    open(f"{sys.argv[1]}/{os.getpid()}", "w").close()
    time.sleep(3600)
pool = poolmap.Executor(2)
futures = [pool.submit(endless, number) for number in range(4)]
%s
"""


def children_after(how, tmp_path, ending):
    """Starts a program whose tasks never end, ends it by a signal, and returns its status and its children."""
    script = ENDLESS % ending
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        children = eventually(lambda: len(os.listdir(tmp_path)) == 2 and list(map(int, os.listdir(tmp_path))))
        process.send_signal(how)
        return process.wait(20), children
    finally:
        process.kill()
        process.wait()


def test_no_child_survives_a_parent_that_is_killed(tmp_path):
    _, children = children_after(signal.SIGKILL, tmp_path, "futures[0].result()")
    eventually(lambda: not any(map(is_alive, children)))


def test_interrupting_the_program_ends_it_and_its_children(tmp_path):
    status, children = children_after(signal.SIGINT, tmp_path, "futures[0].result()")
    assert status != 0
    eventually(lambda: not any(map(is_alive, children)))


def test_interrupting_a_with_block_ends_it(tmp_path):
    status, children = children_after(signal.SIGINT, tmp_path, "with pool: futures[0].result()")
    assert status != 0
    eventually(lambda: not any(map(is_alive, children)))


def test_a_child_killed_while_a_forked_process_lives_on_takes_none_with_it(tmp_path):
    ending = "if os.fork() == 0: time.sleep(5); os._exit(0)\nfutures[0].result()"
    _, children = children_after(signal.SIGKILL, tmp_path, ending)
    eventually(lambda: not any(map(is_alive, children)))


def test_what_was_submitted_is_done_before_the_interpreter_ends(tmp_path):
    printed = run_script(
        "import poolmap, time\n"
        "def late(): time.sleep(0.2); print('done', flush=True)\n"
        "poolmap.Executor(1).submit(late)"
    )
    assert printed == "done\n"


def test_after_a_fork_the_executor_says_that_it_is_not_there():
    printed = run_script(
        """
import os, warnings, poolmap
warnings.simplefilter("ignore")  # Python says that a fork beside threads is risky.
with poolmap.Executor(1) as pool:
    print(pool.submit(abs, -1).result(), flush=True)
    child = os.fork()
    if child == 0:
        try: pool.submit(abs, -2)
        except RuntimeError as error: print("forked" in str(error), flush=True)
        with poolmap.Executor(1) as own: print(own.submit(abs, -3).result(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print(pool.submit(abs, -4).result())
"""
    )
    assert printed.split() == ["1", "True", "3", "4"]


def test_what_tasks_print_reaches_standard_output():
    assert run_script("import poolmap\nwith poolmap.Executor(1) as p: p.submit(print, 'hello').result()") == "hello\n"
