"""Functions whose results are awaited."""

import unittest

from pool_side import Runner, WithRunner

ASYNC = """
import asyncio
state = []
async def f(n):
    await asyncio.sleep(0)
    if n < 0: raise ValueError(n)
    return n
async def loop_id():
    return id(asyncio.get_running_loop())
async def leaves(n):
    async def later():
        try:
            await asyncio.sleep(0.001)
            state.append(n)
        except asyncio.CancelledError:
            state.append("cancelled")
            raise
    asyncio.ensure_future(later())
    await asyncio.sleep(0)
async def waits():
    await asyncio.sleep(0.005)
    return state
async def deaf():
    async def never():
        while True:
            try: await asyncio.sleep(60)
            except asyncio.CancelledError: pass
    asyncio.ensure_future(never())
    await asyncio.sleep(0)
    return 1
async def gathers(n):
    return sum(await asyncio.gather(*map(f, range(n))))
def plain(n):
    return f(n)
class Later:
    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return "later"
async def exits():
    raise SystemExit(4)
"""


class Async(WithRunner):
    def test_coroutines_and_other_awaitables_are_awaited(self):
        self.slot.load(source=ASYNC)
        names = [("gathers", [10]), ("plain", [4]), ("Later", []), ("f", [3])]
        records = self.slot.run([{"function": name, "args": args} for name, args in names])
        self.assertEqual([record.value for record in records], [45, 4, "later", 3])

    def test_one_loop_serves_all_tasks(self):
        self.slot.load("loop_id", ASYNC)
        self.assertEqual(len({record.value for record in self.slot.run([[]] * 5) + self.slot.run([[]])}), 1)

    def test_an_exception_in_a_coroutine_shows_only_the_users_frames(self):
        failure = self.failure(ASYNC, -1, path="/absent/job.py")
        self.assertEqual((failure["type"], failure["message"]), ("ValueError", "-1"))
        self.assertNotIn("asyncio/", failure["traceback"])
        self.assertNotIn("poolmap_runner", failure["traceback"])
        self.assertNotIn("TypeError", failure["traceback"])
        self.assertIn("if n < 0: raise ValueError(n)", failure["traceback"])

    def test_an_exit_in_a_coroutine_does_not_spoil_the_loop(self):
        self.slot.load("f", ASYNC)
        records = self.slot.run([[1], {"function": "exits"}, [2], [3]])
        self.assertEqual(records[1].failure["type"], "SystemExit")
        self.assertEqual([records[n].value for n in (0, 2, 3)], [1, 2, 3])

    def test_what_a_task_leaves_pending_is_cancelled(self):
        self.slot.load("leaves", ASYNC)
        records = self.slot.run([[1], {"function": "waits"}, [2], {"function": "waits"}])
        self.assertEqual(records[3].value, ["cancelled", "cancelled"])

    def test_what_takes_no_cancellation_does_not_hold_up_the_slot(self):
        self.slot.load("deaf", ASYNC)
        self.assertEqual(self.slot.run_one().value, 1)
        self.assertEqual(self.slot.run([{"function": "f", "args": [2]}])[0].value, 2)

    def test_an_awaited_value_that_json_cannot_carry_is_named(self):
        self.assertIn("type set", self.failure("async def f(): return {1}")["message"])

    def test_a_plain_task_needs_none_of_the_slow_imports(self):
        with Runner(options=["-S", "-E"]) as runner:
            late = {"asyncio", "re", "json", "threading", "ctypes", "socket", "traceback", "linecache"}
            runner.slot.load(source=f"import sys\ndef f(): return sorted({late} & set(sys.modules))")
            self.assertEqual(runner.slot.run_one().value, [])

if __name__ == "__main__":
    unittest.main()
