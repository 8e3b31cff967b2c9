"""Pickled calls: what the Python package sends, run to the end."""

import json
import marshal
import os
import pickle
import struct
import sys
import threading
import unittest

from pool_side import BATCH, DONE, FULL, HEADER, LARGE, READY, REFUSED, RUNNER, Runner, WithRunner

sys.path.append(os.path.dirname(RUNNER))
from poolmap_runner import buffers

DEFINE = 10
FIRST_FUNCTION = 2


def setup(initializer=None, **fields):
    pickled = None if initializer is None else pickle.dumps(initializer)
    fields = {"version": sys.version_info[:2], "path": sys.path, "argv": ["of the user"], **fields}
    return pickle.dumps({**fields, "initializer": pickled})


def value(body):
    """The value that a record holds, in any of its forms."""
    if body[:1] == b"\x80":
        return pickle.loads(body)
    return buffers.load(body) if body[:1] == b"\0" else marshal.loads(body)


def plain(call):
    return marshal.dumps(call, 2)


def with_buffers(call):
    pickler = buffers.Pickler()
    return b"".join(pickler.parts(pickler.dumps(call)))


class PickledCalls(WithRunner):
    def announce(self, body=None):
        self.slot.functions += 1
        self.slot.send(1, function=self.slot.functions, body=setup() if body is None else body)
        return self.slot.receive()

    def define(self, *functions):
        for place, function in enumerate(functions):
            self._frame(DEFINE, place, pickle.dumps(function))

    def _frame(self, kind, index, body):
        header = HEADER.pack(kind, self.slot.functions, 0, 0, 0, index, 0, len(body))
        self.slot.socket.sendall(header + body)

    def run_calls(self, *calls):
        return self.run_payloads(*(pickle.dumps(call, 5) for call in calls))

    def run_payloads(self, *payloads):
        first, self.slot.next = self.slot.next, self.slot.next + len(payloads)
        lengths = struct.pack(f"<{len(payloads)}I", *map(len, payloads))
        self.slot.send(
            BATCH, function=self.slot.functions, count=len(payloads), attempt=1, sequence=first,
            body=lengths + b"".join(payloads),
        )
        self.slot.receive()
        return self.slot.read(len(payloads))

    def values(self, *calls):
        records = self.run_calls(*calls)
        return [value(record.body) for record in records if not record.failed]

    def test_functions_of_the_list_are_called_by_number(self):
        self.assertEqual(self.announce().kind, READY)
        self.define(pow, divmod)
        self.assertEqual(self.values((FIRST_FUNCTION, (2, 5)), (FIRST_FUNCTION + 1, (7, 2))), [32, (3, 1)])

    def test_functions_may_be_added_between_batches(self):
        self.announce()
        self.define(abs)
        self.assertEqual(self.values((FIRST_FUNCTION, (-1,))), [1])
        self._frame(DEFINE, 1, pickle.dumps(len))
        self.assertEqual(self.values((FIRST_FUNCTION + 1, ("four",))), [4])

    def test_keywords_and_carried_functions_have_calls_of_their_own(self):
        self.announce()
        self.define(int)
        calls = (1, (FIRST_FUNCTION, ("11",), {"base": 2})), (0, (pickle.dumps(max), (1, 2), {}))
        self.assertEqual(self.values(*calls), [3, 2])

    def test_an_exception_comes_back_as_itself_and_as_text(self):
        self.announce()
        self.define(int)
        (record,) = self.run_calls((FIRST_FUNCTION, ("x",)))
        text, _, pickled = record.body.partition(b"\0")
        self.assertEqual(json.loads(text)["type"], "ValueError")
        self.assertEqual(repr(pickle.loads(pickled)), repr(ValueError("invalid literal for int() with base 10: 'x'")))

    def test_a_value_that_has_no_pickle_is_a_failure(self):
        self.announce()
        self.define(threading.Lock)
        (record,) = self.run_calls((FIRST_FUNCTION, ()))
        self.assertIn("lock", json.loads(record.body.partition(b"\0")[0])["message"])

    def test_a_payload_that_cannot_be_loaded_fails_alone(self):
        self.announce()
        self.define(abs)
        good = (FIRST_FUNCTION, (-3,))
        records = self.run_calls(good, (99, ()), good)
        self.assertEqual([record.failed for record in records], [False, True, False])

    def test_a_function_that_cannot_be_loaded_fails_the_tasks_that_name_it(self):
        self.announce()
        self._frame(DEFINE, 0, b"cno_such_module\nf\n.")
        first, second = self.run_calls((FIRST_FUNCTION, ()), (0, (pickle.dumps(abs), (-4,), {})))
        self.assertIn("no_such_module", json.loads(first.body.partition(b"\0")[0])["message"])
        self.assertEqual(value(second.body), 4)

    def test_an_initializer_runs_before_the_first_task(self):
        self.announce(setup((os.putenv, ("A", "b"))))
        self.assertEqual(self.announce(setup((os.chdir, ("/",)))).kind, READY)
        self.define(os.getcwd)
        self.assertEqual(self.values((FIRST_FUNCTION, ())), ["/"])

    def test_calls_from_another_version_of_python_are_refused_with_both(self):
        frame = self.announce(setup(version=(3, 1)))
        self.assertEqual(frame.kind, REFUSED)
        own = ".".join(map(str, sys.version_info[:2]))
        self.assertIn(f"is Python {own}, and the calls come from Python 3.1:", frame.body.decode())

    def test_an_initializer_that_raises_refuses_the_job(self):
        frame = self.announce(setup((int, ("x",))))
        self.assertEqual(frame.kind, REFUSED)
        self.assertIn("the initializer raised ValueError", frame.body.decode())

    def test_large_values_and_arguments_come_through_whole(self):
        self.announce()
        self.define(bytes)
        large = bytes(range(256)) * 8192
        payload = pickle.dumps((FIRST_FUNCTION, (large,)), 5)
        self.slot.send(
            BATCH, function=1, count=1, attempt=1, sequence=1, body=struct.pack("<I", len(payload)) + payload
        )
        self.slot.receive()
        self.slot.drained()
        record = self.slot.receive(9)
        self.assertEqual(value(record.body[4:]), large)

    def test_plain_calls_give_what_pickled_ones_give_together_and_among_those(self):
        self.announce()
        self.define(max)
        call = FIRST_FUNCTION, (1, 2.5)
        for payloads in [plain(call)] * 3, [plain(call), pickle.dumps(call), with_buffers(call), plain(call)]:
            self.assertEqual([value(record.body) for record in self.run_payloads(*payloads)], [2.5] * len(payloads))

    def test_plain_values_are_what_they_were(self):
        self.announce()
        self.define(min)
        values = [0, -(2**40), 2**100, True, None, 1.5, "é", "\ud800", b"b", (1, "a"), [2], {"a": 1}, bytearray(b"c")]
        received = self.values(*((FIRST_FUNCTION, ([each],)) for each in values))
        self.assertEqual([(type(each), each) for each in received], [(type(each), each) for each in values])

    def test_large_buffers_travel_beside_their_pickle_and_may_be_written_to(self):
        self.announce()
        self.define(pickle.PickleBuffer)
        for size in (100_000, 3_000_000):
            large = bytearray(bytes(range(250)) * (size // 250))
            payload = with_buffers((FIRST_FUNCTION, (pickle.PickleBuffer(large),)))
            sequence, self.slot.next = self.slot.next, self.slot.next + 1
            head = struct.pack("<I", len(payload))
            self.slot.send(BATCH, function=1, count=1, attempt=1, sequence=sequence, body=head + payload)
            if size > 1 << 20:
                self.slot.receive(FULL)
                self.slot.drained()
                body = self.slot.receive(LARGE).body[4:]
                self.slot.receive(DONE)
            else:
                self.slot.receive(DONE)
                body = self.slot.read(1)[0].body
            self.assertEqual(bytes(body[:1]), b"\0")
            received = memoryview(value(bytearray(body)))
            self.assertEqual((received.readonly, bytes(received)), (False, bytes(large)))


class Streams(unittest.TestCase):
    def test_what_tasks_print_is_kept_apart_if_asked_for(self):
        with Runner(leading=["--stdout"]) as runner:
            runner.slot.load(source="def f():\n    print('here')")
            runner.slot.run_one()
            status, stdout = runner.end()
        self.assertEqual((status, stdout), (0, b"here\n"))
