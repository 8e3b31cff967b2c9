"""What tasks may do to the process that runs them."""

import os
import signal
import unittest

from pool_side import WithRunner


class Process(WithRunner):
    def test_the_first_descriptors_are_the_runners_streams(self):
        source = """
import os, sys
def f():
    print("p")
    os.write(1, b"w")
    os.system("echo s")
    return sys.stdin.read()
"""
        self.slot.load(source=source)
        self.assertEqual(self.slot.run_one().value, "")
        self.assertEqual(self.runner.end(), (0, b""))
        self.assertEqual(sorted(self.runner.printed().split()), ["p", "ws"])

    def test_tasks_may_do_as_they_like_with_streams_and_descriptors(self):
        source = """
import os, sys
def f(n):
    if n == 0: os.closerange(1, 2)
    if n == 1: sys.stdout = None
    if n == 2: os.chdir("/")
    if n == 3: os.closerange(3, 100)
    if n == 4: sys.stderr = sys.stdin = object()
    if n == 5: os.environ.clear()
    return n
"""
        self.slot.load(source=source)
        self.assertEqual([record.value for record in self.slot.run([[n] for n in range(6)])], list(range(6)))
        self.assertEqual([record.value for record in self.slot.run([[n] for n in range(6)], attempt=2)], list(range(6)))

    def test_an_os_exit_ends_the_process_at_that_task(self):
        self.slot.load(source="import os\ndef f(n):\n  if n == 2: os._exit(9)\n  return n")
        self.slot.batch([[0], [1], [2], [3]])
        self.assertTrue(self.slot.has_ended())
        self.assertEqual((self.runner.process.wait(10), self.slot.begun), (9, 3))
        self.assertEqual([record.value for record in self.slot.read(2)], [0, 1])

    def test_a_forked_child_that_comes_out_of_its_task_is_ended(self):
        source = """
import os, sys
def f(n):
    child = os.fork()
    if child == 0:
        if n == 1: sys.exit(7)
        if n == 2: raise ValueError
        return "child"
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
async def g():
    return f(0)
"""
        self.slot.load(source=source)
        records = self.slot.run([[0], [1], [2], {"function": "g"}])
        self.assertEqual([record.value for record in records], [0, 7, 1, 0])
        self.assertTrue(self.slot.is_silent())
        self.slot.load(source=source, details=True)
        self.assertEqual([record.value for record in self.slot.run([[0], [1]])], [0, 7])

    def test_a_forked_child_that_lives_on_does_not_hide_the_runners_end(self):
        source = """
import os, subprocess, time
def f():
    child = os.fork()
    if child == 0: time.sleep(60)
    return [child, subprocess.Popen(["sleep", "60"]).pid]
"""
        self.slot.load(source=source)
        children = self.slot.run_one().value
        self.runner.process.kill()
        self.assertTrue(self.slot.has_ended())
        for child in children:
            os.kill(child, signal.SIGKILL)

    def test_multiprocessing_works_within_a_task(self):
        source = """
import multiprocessing
def g(n): return n * n
def f():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(g, [1, 2, 3])
"""
        self.slot.load(source=source)
        self.assertEqual(self.slot.run_one().value, [1, 4, 9])

    def test_the_runners_descriptors_are_out_of_the_way_and_not_inherited(self):
        source = """
import os, subprocess, sys
def f():
    mine = [int(n) for n in os.listdir("/proc/self/fd")]
    files = {n: f"/proc/self/fd/{n}" for n in mine}
    sockets = [n for n, file in files.items() if os.path.exists(file) and "socket" in os.readlink(file)]
    code = "import os; print(len(os.listdir('/proc/self/fd')))"
    inherited = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, close_fds=False).stdout
    return [min(sockets), int(inherited)]
"""
        self.slot.load(source=source)
        lowest, inherited = self.slot.run_one().value
        self.assertGreaterEqual(lowest, 100)
        self.assertEqual(inherited, 4)


if __name__ == "__main__":
    unittest.main()
