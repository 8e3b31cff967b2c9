"""Frames, words and the outcome area: what `worker/src/slot/mod.rs` promises of a runner."""

import json
import os
import signal
import sys
import tempfile
import unittest

from pool_side import AREA_BYTES, DONE, EXIT, FULL, LARGE, NO_FENCE, Runner, eventually

GATE = """
import os, time
def f(name):
    open(name + ".begun", "w").close()
    while not os.path.exists(name + ".open"):
        time.sleep(0.001)
    return name
def quick(n):
    return n
"""


class Gate:
    """A task that blocks until it is told to go on."""

    def __init__(self, folder):
        self.name = os.path.join(folder, "gate")

    def wait_begun(self):
        eventually(lambda: os.path.exists(self.name + ".begun"))

    def open(self):
        open(self.name + ".open", "w").close()


class Protocol(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.gate = Gate(self.folder)
        self.runner = Runner()
        self.addCleanup(self.runner.__exit__)
        self.slot = self.runner.slot

    def task(self, n):
        return {"function": "quick", "args": [n]}

    def test_ready_tells_the_interpreter(self):
        self.slot.ask(source="def f(): pass")
        about = json.loads(self.slot.receive().body)
        self.assertTrue(os.path.samefile(about["executable"], sys.executable))
        self.assertEqual(about["version"], sys.version.split()[0])

    def test_a_batch_ends_with_done_and_its_outcomes_are_in_the_area(self):
        self.slot.load(source="def f(a, b): return a + b")
        self.slot.batch([[1, 2], ["a", "b"], [[1], [2]]])
        done = self.slot.receive(DONE)
        self.assertEqual((done.sequence, self.slot.begun), (4, 3))
        self.assertEqual([record.value for record in self.slot.read(3)], [3, "ab", [1, 2]])

    def test_an_empty_batch_is_done_at_once(self):
        self.slot.load(source="def f(): pass")
        self.slot.batch([])
        self.assertEqual(self.slot.receive(DONE).sequence, 1)

    def test_sequences_go_on_from_batch_to_batch(self):
        self.slot.load(source="def f(n): return n")
        for start in range(0, 50, 10):
            records = self.slot.run([[n] for n in range(start, start + 10)])
            self.assertEqual([record.value for record in records], list(range(start, start + 10)))
        self.assertEqual(self.slot.begun, 50)

    def test_outcomes_stand_in_the_area_while_a_later_task_of_the_batch_blocks(self):
        self.slot.load(source=GATE)
        self.slot.batch([self.task(7), self.task(8), [self.gate.name], self.task(9)])
        self.gate.wait_begun()
        self.assertEqual(self.slot.begun, 3)
        self.assertEqual([record.value for record in self.slot.read(2)], [7, 8])
        self.assertTrue(self.slot.is_silent())
        self.gate.open()
        self.assertEqual(self.slot.receive(DONE).sequence, 5)
        self.assertEqual([record.value for record in self.slot.read(2)], [self.gate.name, 9])

    def test_a_fence_voids_what_has_not_begun(self):
        self.slot.load(source=GATE)
        self.slot.batch([[self.gate.name], self.task(1), self.task(2)])
        self.slot.batch([self.task(3)])
        self.gate.wait_begun()
        self.slot.set_fence(2)
        self.gate.open()
        self.assertEqual(self.slot.receive(DONE).sequence, 2)
        self.assertEqual(self.slot.receive(DONE).sequence, 4)
        self.slot.set_fence(NO_FENCE)
        self.slot.batch([self.task(4), self.task(5)])
        self.assertEqual(self.slot.receive(DONE).sequence, 7)
        self.assertEqual([record.value for record in self.slot.read(3)], [self.gate.name, 4, 5])

    def test_a_fence_above_a_task_does_not_stop_it(self):
        self.slot.load(source="def f(n): return n")
        self.slot.set_fence(3)
        self.slot.batch([[1], [2], [3], [4]])
        self.assertEqual(self.slot.receive(DONE).sequence, 3)
        self.assertEqual([record.value for record in self.slot.read(2)], [1, 2])
        self.slot.set_fence(NO_FENCE)
        self.assertEqual(self.slot.run([[5]])[0].value, 5)

    def test_a_full_area_is_drained_and_written_again(self):
        self.slot.load(source="def f(n): return 'x' * 1000 + str(n)")
        count, values, outcomes_before = 5000, [], 0
        self.slot.batch([[n] for n in range(count)])
        while True:
            frame = self.slot.receive()
            values += [record.value[1000:] for record in self.slot.read(frame.sequence - 1 - outcomes_before)]
            outcomes_before = frame.sequence - 1
            if frame.kind == DONE:
                break
            self.assertEqual(frame.kind, FULL)
            self.slot.drained()
        self.assertEqual(values, [str(n) for n in range(count)])

    def test_frames_that_come_before_drained_wait_their_turn(self):
        self.slot.load(source="def f(n): return 'x' * n")
        self.slot.batch([[700_000], [700_000]])
        self.assertEqual(self.slot.receive(FULL).sequence, 2)
        self.slot.batch([[1], [2]])
        self.slot.send(EXIT)
        self.slot.read(1)
        self.slot.drained()
        self.assertEqual(self.slot.receive(DONE).sequence, 3)
        self.assertEqual(self.slot.receive(DONE).sequence, 5)
        self.assertEqual([len(record.value) for record in self.slot.read(3)], [700_000, 1, 2])
        self.assertEqual(self.runner.process.wait(10), 0)

    def test_a_record_that_fits_to_the_byte_is_not_large(self):
        self.slot.load(source="def f(n): return 'x' * n")
        self.assertEqual(len(self.slot.run([[AREA_BYTES - 6]])[0].value), AREA_BYTES - 6)

    def test_a_record_larger_than_the_area_travels_in_a_frame(self):
        self.slot.load(source="def f(n): return 'x' * n")
        size = 20_000_000
        self.slot.batch([[3], [size], [4], [AREA_BYTES - 5]])
        self.assertEqual(self.slot.receive(FULL).sequence, 2)
        self.assertEqual(self.slot.read(1)[0].value, "xxx")
        self.slot.drained()
        large = self.slot.receive(LARGE)
        self.assertEqual((large.sequence, len(large.body)), (2, size + 2 + 4))
        self.assertEqual(int.from_bytes(large.body[:4], "little"), size + 2)
        self.assertEqual(large.body[4:8], b'"xxx')
        self.assertEqual(self.slot.receive(FULL).sequence, 4)
        self.assertEqual(self.slot.read(1)[0].value, "xxxx")
        self.slot.drained()
        self.assertEqual(self.slot.receive(LARGE).sequence, 4)
        self.assertEqual(self.slot.receive(DONE).sequence, 5)

    def test_large_payloads_arrive_whole(self):
        self.slot.load(source="def f(text): return len(text)")
        self.assertEqual(self.slot.run([["x" * 9_000_000], ["y"]])[0].value, 9_000_000)

    def test_a_kill_leaves_the_earlier_outcomes_whole_and_one_task_to_blame(self):
        self.slot.load(source="import os\ndef f(n):\n  if n == 500: os.kill(os.getpid(), 9)\n  return n")
        self.slot.batch([[n] for n in range(1000)])
        self.assertTrue(self.slot.has_ended())
        self.assertEqual(self.runner.process.wait(10), -signal.SIGKILL)
        self.assertEqual(self.slot.begun, 501)
        self.assertEqual([record.value for record in self.slot.read(500)], list(range(500)))
        self.assertEqual(self.slot.map[self.slot.offset : self.slot.offset + 4], bytes(4))

    def test_a_batch_for_a_function_that_was_refused_runs_nothing(self):
        self.slot.refusal(source="def g(): pass")
        self.slot.batch([[1], [2]])
        self.assertEqual(self.slot.receive(DONE).sequence, 1)
        self.assertEqual(self.slot.begun, 0)

    def test_several_functions_live_in_one_runner(self):
        one = self.slot.load("f", "def f(n): return n + 1", module="one")
        two = self.slot.load("f", "def f(n): return n + 2", module="two")
        self.assertEqual(self.slot.run([[1]], function=one)[0].value, 2)
        self.assertEqual(self.slot.run([[1]], function=two)[0].value, 3)

    def test_the_attempt_is_in_the_environment(self):
        self.slot.load(source="import os\ndef f(): return os.environ['POOLMAP_ATTEMPT']")
        self.assertEqual([self.slot.run([[]], attempt=n)[0].value for n in (1, 1, 3)], ["1", "1", "3"])

    def test_a_non_blocking_socket_from_the_pool_is_no_trouble(self):
        with Runner() as runner:
            runner.slot.socket.setblocking(True)
            runner.slot.load(source="def f(): return 1")
            self.assertEqual(runner.slot.run_one().value, 1)


class End(unittest.TestCase):
    SOURCE = """
import atexit, sys, threading, time
sys.stdout.write("begun ")
atexit.register(lambda: print("the end"))
def f():
    sys.stdout.write("half a line ")
def hang():
    threading.Thread(target=lambda: [time.sleep(1) for _ in range(600)]).start()
"""

    def test_exit_runs_exit_handlers_and_loses_no_print(self):
        with Runner() as runner:
            runner.slot.load(source=self.SOURCE)
            runner.slot.run_one()
            self.assertEqual(runner.end(), (0, b""))
            self.assertEqual(runner.printed(), "begun half a line the end\n")

    def test_the_end_of_the_stream_is_an_exit(self):
        with Runner() as runner:
            runner.slot.load(source=self.SOURCE)
            runner.slot.close()
            self.assertEqual(runner.process.wait(10), 0)
            self.assertEqual(runner.printed(), "begun the end\n")

    def test_an_exit_handler_that_raises_is_no_crash(self):
        with Runner() as runner:
            runner.slot.load(source="import atexit\natexit.register(int, 'a')\ndef f(): pass")
            self.assertEqual(runner.end()[0], 0)
            self.assertIn("ValueError", runner.printed())

    def test_an_interrupt_between_tasks_ends_the_runner_without_a_word(self):
        with Runner() as runner:
            runner.slot.load(source="def f(): return 1")
            runner.process.send_signal(signal.SIGINT)
            self.assertEqual((runner.process.wait(10), runner.printed()), (130, ""))

    def test_threads_that_a_task_has_left_are_not_waited_for(self):
        with Runner() as runner:
            runner.slot.load("hang", self.SOURCE)
            runner.slot.run_one()
            self.assertEqual(runner.end()[0], 0)

    def test_a_pool_that_dies_in_mid_batch_ends_the_runner_quietly(self):
        with Runner() as runner:
            runner.slot.load(source="def f(): return 'x' * 2_000_000")
            runner.slot.batch([[]] * 5)
            runner.slot.receive(FULL)
            runner.slot.close()
            self.assertEqual(runner.process.wait(10), 0)
            self.assertEqual(runner.printed(), "")

    def test_prints_are_seen_when_the_process_is_killed_later(self):
        with Runner() as runner:
            runner.slot.load(source="def f(): print('one line'); print('no line', end='')")
            runner.slot.run_one()
            self.assertEqual(runner.printed(), "one line\nno line")


if __name__ == "__main__":
    unittest.main()
