"""Functions: loading them, and what users are told when that fails."""

import os
import sys
import tempfile
import unittest
from pathlib import Path

from pool_side import Runner

ASKED = f"{sys.executable} (Python {sys.version_info[0]}.{sys.version_info[1]})"


class Functions(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name).resolve()
        self.runner = Runner(cwd=self.folder)
        self.addCleanup(self.runner.__exit__)
        self.slot = self.runner.slot

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    def test_a_module_is_imported_from_the_current_folder_first(self):
        self.write("calendar.py", "def f(): return __name__, __file__")
        self.slot.load(module="calendar")
        self.assertEqual(self.slot.run_one().value, ["calendar", str(self.folder / "calendar.py")])

    def test_a_dotted_module_is_imported(self):
        self.write("pkg/__init__.py", "")
        self.write("pkg/deep.py", "class A:\n  class B:\n    @classmethod\n    def g(cls, n): return cls.__name__ * n")
        self.slot.load("A.B.g", module="pkg.deep")
        self.assertEqual(self.slot.run_one(2).value, "BB")

    def test_a_text_is_a_module_of_its_own_name_and_file(self):
        source = """
import sys, pickle, dataclasses
@dataclasses.dataclass
class Point:
    x: int
if __name__ == "__main__":
    raise SystemExit("guarded")
def f():
    point = pickle.loads(pickle.dumps(Point(3)))
    return [__name__, __file__, sys.modules[__name__].f is f, point.x, sys.path[0], sys.argv[1:]]
"""
        path = str(self.folder / "pokemon.py")  # Which is not there: texts travel with their jobs.
        self.slot.load(source=source, module="pokemon", path=path)
        self.assertEqual(self.slot.run_one().value, ["pokemon", path, True, 3, str(self.folder), []])
        self.assertFalse(os.path.exists(path))

    def test_a_file_called_main_is_not_run_as_the_main_program(self):
        self.slot.load(source="def f(): return __name__", module="__main__", path="/job/__main__.py")
        self.assertEqual(self.slot.run_one().value, "main")

    def test_the_runners_own_folder_is_not_on_the_path(self):
        self.slot.load(source="import sys\ndef f(): return [p for p in sys.path if p.endswith('runtime/python')]")
        self.assertEqual(self.slot.run_one().value, [])

    def test_a_text_finds_the_files_beside_its_own(self):
        self.write("sub/beside.py", "X = 5")
        self.slot.load(source="import beside\ndef f(): return beside.X", path=str(self.folder / "sub/job.py"))
        self.assertEqual(self.slot.run_one().value, 5)

    def test_functions_of_one_text_share_their_module_and_a_changed_text_is_another(self):
        source = "n = 0\ndef f():\n  global n\n  n += 1\n  return n\ndef g(): return n"
        self.slot.load("f", source)
        self.slot.run_one()
        self.slot.load("g", source)
        self.assertEqual(self.slot.run_one().value, 1)
        self.slot.load("g", source + "\n")
        self.assertEqual(self.slot.run_one().value, 0)

    def test_a_module_can_be_asked_for_its_source(self):
        self.slot.load(source="import inspect\ndef f(): return inspect.getsource(f)", path="/job/absent.py")
        self.assertEqual(self.slot.run_one().value, "def f(): return inspect.getsource(f)\n")

    def test_safe_path_interpreters_find_the_runner(self):
        with Runner(options=["-I"]) as runner:
            runner.slot.load(source="def f(): return 1")
            self.assertEqual(runner.slot.run_one().value, 1)

    def test_a_missing_function_names_what_is_close_and_what_there_is(self):
        source = "from os.path import join\nX = 1\ndef do_work(): pass\ndef other(): pass\ndef _hidden(): pass"
        self.assertEqual(
            self.slot.refusal("do_wrok", source, path="/job/pokemon.py", module="pokemon"),
            "pokemon.py has no function 'do_wrok'; did you mean 'do_work'? It has: do_work, other",
        )
        self.assertEqual(
            self.slot.refusal("zzz", source, path="/job/pokemon.py", module="pokemon"),
            "pokemon.py has no function 'zzz'; it has: do_work, other",
        )
        self.assertEqual(self.slot.refusal("f", "X = 1"), "module 'job' has no function 'f'; it has none")
        self.assertEqual(
            self.slot.refusal("C.g", "class C:\n  def h(self): pass", path="/job/a.py"),
            "class C in a.py has no function 'g'; it has: h",
        )
        many = "\n".join(f"def f{n:02}(): pass" for n in range(14))
        self.assertTrue(self.slot.refusal("zzz", many, module="many").endswith("f09 and 4 more"))

    def test_a_value_is_not_a_function(self):
        text = self.slot.refusal("X", "X = 1", path="/job/a.py")
        self.assertEqual(text, "'X' in a.py is of type int, not a function")

    def test_a_missing_module_is_told_from_one_that_it_imports(self):
        text = self.slot.refusal(module="no_such")
        self.assertEqual(text.splitlines()[0], f"there is no module 'no_such' for {ASKED}, nor in {self.folder}")
        self.assertIn("--python", text)
        text = self.slot.refusal(source="import no_such.deep", path="/job/a.py")
        self.assertEqual(text.splitlines()[0], f"a.py imports 'no_such', which {ASKED} does not have")
        self.write("importing.py", "import no_such")
        self.assertIn("module 'importing' imports 'no_such'", self.slot.refusal(module="importing"))

    def test_an_error_on_import_shows_the_users_line(self):
        self.assertEqual(
            self.slot.refusal(source="x = 1\ny = int('a')", path="/job/a.py").splitlines(),
            [
                "a.py cannot be imported; it raised ValueError: invalid literal for int() with base 10: 'a'",
                "    /job/a.py, line 2: y = int('a')",
            ],
        )
        self.assertIn("SystemExit: 3", self.slot.refusal(source="import sys; sys.exit(3)", module="exits"))

    def test_a_syntax_error_shows_its_line(self):
        text = self.slot.refusal(source="x = 1\ndef f(:\n  pass", path="/job/a.py")
        self.assertRegex(text, r"^a\.py, line 2: invalid syntax.*\n    def f\(:$")
        self.write("broken.py", "x = (")
        text = self.slot.refusal(source="import broken", path=str(self.folder / "a.py"))
        self.assertRegex(text, r"^broken\.py, line 1: ")

    def test_a_byte_order_mark_is_no_error(self):
        self.slot.load(source="\ufeffdef f(): return 1")
        self.assertEqual(self.slot.run_one().value, 1)

    def test_a_failed_import_leaves_no_half_module(self):
        self.slot.refusal(source="x = 1\nraise ValueError", module="half")
        self.assertIn("no module 'half'", self.slot.refusal(module="half"))

    def test_a_module_that_names_itself_like_the_json_package_hurts_only_itself(self):
        path = self.write("json.py", "def f(n): return n")
        self.slot.load(module="json", source=Path(path).read_text(), path=path)
        records = self.slot.run([[1], b"[", [{"a": 2}]])
        self.assertEqual((records[0].value, records[1].failed, records[2].value), (1, True, {"a": 2}))


if __name__ == "__main__":
    unittest.main()
