"""Failures: what the pool is told of exceptions."""

import signal
import unittest

from pool_side import WithRunner


class Failures(WithRunner):
    def test_an_exception_has_type_message_and_the_users_part_of_the_traceback(self):
        source = "def g(n):\n  return 1 / n\ndef f(n):\n  return g(n)"
        failure = self.failure(source, 0, path="/absent/job.py")
        self.assertEqual((failure["type"], failure["message"]), ("ZeroDivisionError", "division by zero"))
        lines = [line.strip() for line in failure["traceback"].splitlines() if "^" not in line and "~" not in line]
        self.assertEqual(lines, [
            "Traceback (most recent call last):",
            'File "/absent/job.py", line 4, in f', "return g(n)",
            'File "/absent/job.py", line 2, in g', "return 1 / n",
            "ZeroDivisionError: division by zero",
        ])

    def test_types_are_qualified_unless_built_in(self):
        for raised, kind in {
            "KeyError('k')": "KeyError", "json.JSONDecodeError('m', 'd', 0)": "json.decoder.JSONDecodeError",
            "Outer.Mine()": "job.Outer.Mine",
        }.items():
            source = f"import json\nclass Outer:\n  class Mine(Exception): pass\ndef f(): raise {raised}"
            self.assertEqual(self.failure(source)["type"], kind)

    def test_every_base_exception_is_an_outcome(self):
        for raised, kind, message in [
            ("SystemExit(3)", "SystemExit", "3"), ("KeyboardInterrupt", "KeyboardInterrupt", ""),
            ("GeneratorExit", "GeneratorExit", ""), ("MemoryError", "MemoryError", ""),
            ("StopIteration(1)", "StopIteration", "1"),
        ]:
            failure = self.failure(f"def f(): raise {raised}")
            self.assertEqual((failure["type"], failure["message"]), (kind, message))
        self.assertEqual(self.failure("import sys\ndef f(): sys.exit('bye')")["message"], "bye")
        self.assertEqual(self.failure("def f(): return f()")["type"], "RecursionError")
        self.assertEqual(self.failure("def f(): return [0] * 2 ** 60")["type"], "MemoryError")

    def test_an_interrupt_from_outside_is_an_outcome_of_the_task_it_met(self):
        self.slot.load(source="import os, signal\ndef f(n):\n  if n: os.kill(os.getpid(), signal.SIGINT)\n  return n")
        records = self.slot.run([[0], [signal.SIGINT.value], [0]])
        self.assertEqual(records[1].failure["type"], "KeyboardInterrupt")
        self.assertEqual((records[0].value, records[2].value), (0, 0))

    def test_a_wrong_number_of_arguments_is_an_outcome_without_a_traceback(self):
        failure = self.failure("def f(a, b): pass", 1)
        self.assertEqual(failure, {
            "kind": "exception", "type": "TypeError",
            "message": "f() missing 1 required positional argument: 'b'",
        })

    def test_exceptions_that_cannot_be_shown_are_outcomes_all_the_same(self):
        source = "class E(Exception):\n  def __str__(self): raise RuntimeError\ndef f(): raise E"
        failure = self.failure(source)
        self.assertEqual(failure["type"], "job.E")
        self.assertIn("__str__ raised RuntimeError", failure["message"])

    def test_messages_with_lone_surrogates_can_be_read_by_all(self):
        self.assertEqual(self.failure("def f(): raise ValueError('é\\ud800')")["message"], "é\\ud800")

    def test_a_boundless_message_is_shortened(self):
        message = self.failure("def f(): raise ValueError('x' * 10_000_000)")["message"]
        self.assertTrue(message.endswith("[shortened]") and len(message) < 1_100_000)

    def test_chained_exceptions_show_their_causes_and_nothing_of_the_runner(self):
        source = "def f():\n  try: {}['a']\n  except KeyError as e: raise ValueError('b') from e"
        trace = self.failure(source)["traceback"]
        self.assertIn("KeyError: 'a'", trace)
        self.assertNotIn("poolmap_runner", trace)

if __name__ == "__main__":
    unittest.main()
