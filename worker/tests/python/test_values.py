"""Tasks and values: what comes in as JSON and what goes out."""

import os
import tempfile
import unittest
from pathlib import Path

from pool_side import Runner, WithRunner

ECHO = "def f(*args, **kwargs): return [list(args), kwargs]"


class OneRunner(unittest.TestCase):
    """Tests that share a runner; a failed task must not spoil the next."""

    @classmethod
    def setUpClass(cls):
        cls.runner = Runner()
        cls.slot = cls.runner.slot

    @classmethod
    def tearDownClass(cls):
        cls.runner.__exit__()

    def value(self, expression, before=""):
        self.slot.load(source=f"{before}\ndef f(): return {expression}")
        return self.slot.run_one()

    def failure(self, expression, before=""):
        return self.value(expression, before).failure


class Values(OneRunner):
    def test_values_are_compact_json_in_utf_8(self):
        for expression, json in {
            "None": "null", "True": "true", "7": "7", "-1.5": "-1.5", "2 ** 70": str(2**70),
            "'é\\n\"'": '"é\\n\\""', "''": '""', "(1, [2], {})": "[1,[2],{}]",
            "{'a': {'b': None}, 1: 2}": '{"a":{"b":null},"1":2}',
        }.items():
            with self.subTest(expression):
                self.assertEqual(self.value(expression).body.decode(), json)

    def test_subclasses_of_plain_types_are_values(self):
        before = """
import enum, collections
class S(str): pass
class E(enum.IntEnum): A = 4
P = collections.namedtuple("P", "x y")
"""
        self.assertEqual(self.value("[S('a'), E.A, P(1, 2)]", before).value, ["a", 4, [1, 2]])
        self.assertEqual(self.value("S('a')", before).value, "a")

    def test_lone_surrogates_are_written_as_escapes(self):
        self.assertEqual(self.value("'é\\ud800'").body, '"é\\ud800"'.encode())
        self.assertEqual(self.value("['\\udc80']").body, b'["\\udc80"]')

    def test_what_json_cannot_carry_is_named(self):
        for expression, kind, words in [
            ("{1, 2}", "TypeError", ["a value of type set", "return None, bool"]),
            ("b'x'", "TypeError", ["type bytes"]),
            ("[object()]", "TypeError", ["a list that holds a value of type object"]),
            ("{(1, 2): 3}", "TypeError", ["a dict with a key of type tuple"]),
            ("float('nan')", "ValueError", ["number", "not JSON compliant"]),
            ("[float('inf')]", "ValueError", ["number"]),
            ("(n for n in [1])", "TypeError", ["type generator", "list(...)"]),
            ("f", "TypeError", ["type function"]),
        ]:
            with self.subTest(expression):
                failure = self.failure(expression)
                self.assertEqual((failure["type"], "traceback" in failure), (kind, False))
                for word in words:
                    self.assertIn(word, failure["message"])

    def test_an_async_generator_is_no_value(self):
        self.slot.load(source="async def f():\n  yield 1")
        self.assertIn("async for", self.slot.run_one().failure["message"])

    def test_circular_and_too_deep_values_are_failures(self):
        self.slot.load(source="def f():\n  x = []\n  x.append(x)\n  return x")
        self.assertIn("contains itself", self.slot.run_one().failure["message"])
        self.slot.load(source="def f():\n  x = []\n  for _ in range(200_000): x = [x]\n  return x")
        self.assertIn("nested too deep", self.slot.run_one().failure["message"])
        self.assertEqual(self.value("[1]").value, [1])

    def test_a_failed_value_does_not_disturb_the_next(self):
        self.slot.load(source="x = [{}, set()]\ndef f(n):\n  return x[:n]")
        kinds = [record.failed for record in self.slot.run([[2], [1], [2], [1]])]
        self.assertEqual(kinds, [True, False, True, False])


class Longest(WithRunner):
    @unittest.skipUnless(os.environ.get("POOLMAP_TEST_LONGEST"), "takes 3 GiB and 10 s; set POOLMAP_TEST_LONGEST=1")
    def test_a_value_longer_than_a_record_is_a_failure(self):
        self.slot.socket.settimeout(60)
        self.slot.load(source="def f(): return ['x' * 2 ** 26] * 16")
        message = self.slot.run_one().failure["message"]
        self.assertIn("a value of 1073741873 bytes as JSON; an outcome holds 1073741823 at most", message)


class Tasks(OneRunner):
    def test_a_task_is_an_array_or_an_object(self):
        self.slot.load(source=ECHO)
        records = self.slot.run([[1, "a"], {"args": [1], "kwargs": {"b": 2}}, {"kwargs": {"c": 3}}, {}])
        self.assertEqual([r.value for r in records], [[[1, "a"], {}], [[1], {"b": 2}], [[], {"c": 3}], [[], {}]])

    def test_anything_else_is_a_failure_of_that_task(self):
        self.slot.load(source=ECHO)
        bad = [5, "text", None, {"arguments": []}, {"args": 1}, {"kwargs": []}, {"function": 1}, {"args": {}}]
        records = self.slot.run([*bad, [1]])
        self.assertEqual([r.failure["type"] for r in records[:-1]], ["TypeError"] * len(bad))
        self.assertIn("args, kwargs and function", records[0].failure["message"])
        self.assertIn("'arguments'", records[3].failure["message"])
        self.assertEqual(records[-1].value, [[1], {}])

    def test_a_payload_that_is_not_json_blames_one_task(self):
        self.slot.load(source=ECHO)
        deep = b"[" * 100_000 + b"]" * 100_000
        for garbage in [b"[1", b"1]", b"", b"[NaN]", b"[1] [2]", b"[1],[2]", b"\xff\xfe", b"[\"\x01\"]", deep]:
            with self.subTest(garbage[:10]):
                records = self.slot.run([[1], garbage, [2, "é"], b" [3] "])
                self.assertIn("not JSON", records[1].failure["message"])
                self.assertEqual([records[n].value[0] for n in (0, 2, 3)], [[1], [2, "é"], [3]])

    def test_a_task_can_name_a_function_of_its_own(self):
        with tempfile.TemporaryDirectory() as folder:
            other = Path(folder, "other.py")
            other.write_text("count = 0\ndef up():\n  global count\n  count += 1\n  return count")
            self.slot.load(source="def f(): return 'f'\nclass C:\n  @staticmethod\n  def g(n): return n + 1")
            names = ["f", "C.g", "math:sqrt", "os:path.basename", f"{other}:up", f"{other}:up"]
            arguments = [[], [1], [9], ["a/b"], [], []]
            tasks = [{"function": name, "args": args} for name, args in zip(names, arguments)]
            self.assertEqual([r.value for r in self.slot.run(tasks)], ["f", 2, 3.0, "b", 1, 2])

    def test_a_function_that_a_task_names_in_vain_is_its_failure(self):
        self.slot.load(source="def f(): return 'f'")
        records = self.slot.run([{"function": "g"}, {"function": "no_such:x"}, {"function": "/no/such.py:x"}, []])
        self.assertEqual([r.failure["type"] for r in records[:3]], ["LookupError"] * 3)
        self.assertEqual(records[0].failure["message"], "module 'job' has no function 'g'; it has: f")
        self.assertIn("no_such", records[1].failure["message"])
        self.assertEqual(records[2].failure["message"], "cannot read /no/such.py: No such file or directory")
        self.assertEqual(records[3].value, "f")


class WithoutTheCParts(unittest.TestCase):
    def test_an_interpreter_without_them_uses_the_json_package(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "sitecustomize.py").write_text("import sys\nsys.modules['_json'] = None")
            with Runner(env={"PYTHONPATH": folder}) as runner:
                runner.slot.load(source=ECHO + "\nimport sys\nassert sys.modules['_json'] is None")
                self.assertEqual(runner.slot.run([["é", 1]])[0].body.decode(), '[["é",1],{}]')
                self.assertEqual(runner.slot.run([b"[1", [2]])[1].value, [[2], {}])
                runner.slot.load(source="def f(): return [{1}]")
                self.assertIn("type set", runner.slot.run_one().failure["message"])
                runner.slot.load(source="def f():\n  x = []\n  x.append(x)\n  return x")
                self.assertIn("contains itself", runner.slot.run_one().failure["message"])


if __name__ == "__main__":
    unittest.main()
