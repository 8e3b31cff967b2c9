"""Details of outcomes, and several slots in one process."""

import unittest

from pool_side import Runner, WithRunner


class Details(WithRunner):
    def test_details_carry_the_time_and_what_was_printed_which_stderr_still_gets(self):
        source = """
import sys, threading, time
def f(n):
    print("out", n)
    sys.stderr.write("err\\n")
    sys.stdout.buffer.write(b"raw ")
    print("half", end="")
    thread = threading.Thread(target=print, args=(" thread",)); thread.start(); thread.join()
    time.sleep(0.01)
    return n
"""
        self.slot.load(source=source, details=True)
        one, two = self.slot.run([[1], [2]])
        self.assertEqual((one.value, two.value), (1, 2))
        self.assertEqual(two.stderr, b"err\n")
        self.assertTrue(0.01 <= one.seconds < 10)
        for part in (b"out 2\n", b"raw ", b"half", b" thread\n"):
            self.assertIn(part, two.stdout)
            self.assertIn(part.decode(), self.runner.printed())
        self.assertNotIn(b"out 1", two.stdout)

    def test_a_failure_has_details_too(self):
        self.slot.load(source="def f():\n  print('before')\n  raise ValueError('v')", details=True)
        record = self.slot.run_one()
        self.assertEqual((record.failure["message"], record.stdout), ("v", b"before\n"))

    def test_awaited_tasks_values_that_do_not_fit_and_fences_work_with_details(self):
        self.slot.load(source="async def f(n):\n  print(n)\n  return 'x' * n", details=True)
        sizes = [3, 2_000_000, 700_000, 700_000]
        records = self.slot.run([[n] for n in sizes])
        self.assertEqual([len(r.value) for r in records], sizes)
        self.assertEqual([r.stdout for r in records], [b"%d\n" % n for n in sizes])
        self.slot.set_fence(self.slot.next + 1)
        first = self.slot.batch([[1], [2]])
        self.assertEqual(self.slot.receive().sequence, first + 1)

    def test_functions_without_details_pay_for_none(self):
        detailed = self.slot.load(source="def f(): print('a')", details=True)
        plain = self.slot.load(source="def f(): print('b')", module="plain")
        self.assertEqual(self.slot.run([[]], function=plain)[0].detailed, False)
        self.assertEqual(self.slot.run([[]], function=detailed)[0].stdout, b"a\n")


class Threads(unittest.TestCase):
    SOURCE = """
import threading, asyncio, time
barrier = threading.Barrier(3)
def f(n):
    print("slot", n)
    barrier.wait(10)
    return [n, threading.current_thread() is threading.main_thread()]
async def g(n):
    await asyncio.sleep(0.001)
    return id(asyncio.get_running_loop())
"""

    def test_each_pair_is_a_slot_of_one_process(self):
        with Runner(slots=3) as runner:
            for slot in runner.wires:
                slot.load(source=self.SOURCE, details=True)
            for n, slot in enumerate(runner.wires):
                slot.batch([[n], {"function": "g", "args": [n]}])
            loops = set()
            for n, slot in enumerate(runner.wires):
                self.assertEqual(slot.receive().sequence, 3)
                records = slot.read(2)
                self.assertEqual(records[0].value, [n, n == 0])
                self.assertEqual(records[0].stdout, f"slot {n}\n".encode())
                loops.add(records[1].value)
            self.assertEqual(len(loops), 3)
            self.assertEqual(runner.end()[0], 0)

    def test_a_slot_that_exits_leaves_the_others(self):
        with Runner(slots=2) as runner:
            one, two = runner.wires
            one.close()
            two.load(source="def f(): return 1")
            self.assertEqual(two.run_one().value, 1)
            two.close()
            self.assertEqual(runner.process.wait(10), 0)

if __name__ == "__main__":
    unittest.main()
