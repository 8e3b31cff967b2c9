"""One test for each issue of CPython's tracker in which the standard pools hang or break. Each is named by its number."""

import concurrent.futures
import gc
import os
import sys
import threading
import time

import pytest
from conftest import eventually, run_script
from tasks import add, die, pid, wait_for

import poolmap


def test_94440_a_future_that_is_cancelled_at_once_does_not_hang_the_shutdown():
    for _ in range(20):
        pool = poolmap.Executor(1)
        pool.submit(int).result()
        pool.submit(int).cancel()
        pool.shutdown(wait=True)


def test_115634_recycling_one_process_with_many_tasks_waiting_does_not_deadlock():
    with poolmap.Executor(1, max_tasks_per_child=2) as pool:
        futures = [pool.submit(pid) for _ in range(20)]
        assert len({future.result() for future in futures}) == 10


@pytest.mark.parametrize(("count", "size"), [(50_000, 1), (100, 300_000)])
def test_105829_many_tasks_in_one_go_do_not_deadlock_however_large(count, size):
    data = b"x" * size
    with poolmap.Executor(2) as pool:
        futures = [pool.submit(bytes, data) for _ in range(count)]
        assert sum(len(future.result()) for future in concurrent.futures.as_completed(futures)) == count * size


@pytest.mark.parametrize("workers", [2, 4])
def test_132969_shutdown_without_waiting_as_a_task_fails_and_children_are_recycled_neither_raises_nor_hangs(workers):
    printed = run_script(
        f"""
import poolmap, time
def task(number):
    if number == 2: raise ValueError(number)
    time.sleep(number / 20)
    return number
pool = poolmap.Executor({workers}, max_tasks_per_child=1)
first, second, third = [pool.submit(task, number) for number in (1, 2, 3)]
try: print(first.result() + second.result())
except ValueError:
    pool.shutdown(wait=False)
    print(third.result())
"""
    )
    assert printed == "3\n"


def test_a_child_that_dies_after_shutdown_without_waiting_does_not_hang_the_exit():
    printed = run_script(
        "import os, poolmap\n"
        "pool = poolmap.Executor(2)\n"
        "futures = [pool.submit(os._exit, 1), pool.submit(abs, -1)]\n"
        "pool.shutdown(wait=False)\n"
        "print(type(futures[0].exception()).__name__, futures[1].result())"
    )
    assert printed == "TaskDied 1\n"


def test_152967_an_executor_that_is_collected_while_its_only_child_is_recycled_settles_all_futures(tmp_path):
    pool = poolmap.Executor(1, max_tasks_per_child=1)
    gate = str(tmp_path / "gate")
    futures = [pool.submit(wait_for, gate), *(pool.submit(pid) for _ in range(10))]
    eventually(lambda: os.path.exists(f"{gate}.begun"))
    del pool
    gc.collect()
    open(gate, "w").close()
    assert len({future.result(20) for future in futures}) == 11


def test_101267_futures_that_fail_together_have_an_exception_each():
    with poolmap.Executor(1, initializer=int, initargs=("x",)) as pool:
        errors = [future.exception() for future in [pool.submit(add, number) for number in range(5)]]
    assert len(set(map(id, errors))) == 5
    assert all(isinstance(error, concurrent.futures.BrokenExecutor) for error in errors)


def test_submitting_from_callbacks_while_shutting_down_does_not_hang():
    called, refused = threading.Event(), threading.Event()
    pool = poolmap.Executor(2)

    def again(_):
        called.set()
        try:
            pool.submit(add, 1).add_done_callback(again)
        except RuntimeError:
            refused.set()

    pool.submit(add, 1).add_done_callback(again)
    assert called.wait(20)
    pool.shutdown()
    assert refused.wait(20)


def test_a_dead_child_does_not_lose_the_tasks_of_others():
    with poolmap.Executor(2) as pool:
        futures = [pool.submit(add, number) for number in range(2000)]
        doomed = [pool.submit(die, 1) for _ in range(3)]
        assert [future.result() for future in futures] == list(range(1, 2001))
        for future in doomed:
            with pytest.raises(concurrent.futures.BrokenExecutor):
                future.result()


def test_83285_shutdown_without_waiting_after_an_argument_without_pickle_does_not_hang_the_exit():
    printed = run_script(
        """
import poolmap
class HasNoPickle:
    def __reduce__(self): raise TypeError("on purpose")
pool = poolmap.Executor(1)
pool.submit(abs, 1).result()
future = pool.submit(abs, HasNoPickle())
pool.shutdown(wait=False)
print(type(future.exception()).__name__)
"""
    )
    assert printed == "TypeError\n"


def test_a_task_that_calls_sys_exit_ends_itself_and_not_the_pool():
    with poolmap.Executor(1) as pool:
        with pytest.raises(SystemExit):
            pool.submit(sys.exit, 3).result()
        assert pool.submit(add, 1).result() == 2


def own_pool(kind):
    """Opens a process pool within a task."""
    if kind == "poolmap":
        with poolmap.Executor(2) as pool:
            return sum(pool.map(add, range(3)))
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        return sum(pool.map(add, range(3)))


@pytest.mark.parametrize("kind", ["poolmap", "standard"])
def test_a_task_may_open_a_process_pool_of_its_own(kind):
    with poolmap.Executor(1) as pool:
        assert pool.submit(own_pool, kind).result() == 6


def leave_thread():
    threading.Thread(target=time.sleep, args=(3600,)).start()
    return os.getpid()


def test_a_task_that_leaves_a_thread_running_holds_up_nothing():
    with poolmap.Executor(1, max_tasks_per_child=1) as pool:
        assert len({pool.submit(leave_thread).result() for _ in range(3)}) == 3
