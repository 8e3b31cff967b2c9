"""Functions: from a name, and the text of a file or a module to import, to something to call.

Owns the modules made from text, which all slots of the process share, so that functions of one file share its state.
What users are told when something is missing is in `refusals`, which is read only then.
"""

import _frozen_importlib
import os
import sys
from _thread import RLock

from .values import Unreadable

_lock = RLock()
_modules = {}  # (name, path) -> (source, module)
_codes = {}  # (path, source) -> code

# Where the files lie that travel with the job, if any do.
_files = os.environ.get("POOLMAP_FILES")

# Sources of modules made from text, by the file name that tracebacks give: the file need not be on this host.
sources = {}


class Refused(Exception):
    """A function cannot be had; the text is for the user."""


class Function:
    """A function that was asked for, and those that single tasks of its job name instead."""

    def __init__(self, call, module, details):
        self.call = call
        self.details = details
        self._module = module
        self._named = {}

    def run(self, slot, frame):
        """Runs the tasks of a batch in a slot."""
        return slot.run_json(self, frame)

    def call_with(self, task):
        """Runs a task that is not an array."""
        if type(task) is Unreadable:
            raise ValueError(task.reason)
        if type(task) is not dict:
            raise TypeError(f"a task is an array, or an object of args, kwargs and function, not {task!r:.80}")
        unknown = task.keys() - {"args", "kwargs", "function"}
        if unknown:
            raise TypeError(f"a task has args, kwargs and function, not {', '.join(map(repr, sorted(unknown)))}")
        args, kwargs = task.get("args", []), task.get("kwargs", {})
        if type(args) is not list or type(kwargs) is not dict:
            raise TypeError("a task's args are an array and its kwargs an object")
        call = self._call_named(task["function"]) if "function" in task else self.call
        return call(*args, **kwargs)

    def _call_named(self, name):
        if type(name) is not str:
            raise TypeError("a task's function is the name of one")
        call = self._named.get(name)
        if call is None:
            try:
                call = self._named[name] = self._find(name)
            except Refused as refused:
                raise LookupError(str(refused)) from None
        return call

    def _find(self, name):
        file, colon, name_in_it = name.rpartition(":")
        if not colon:
            return find(self._module, name)
        if file.endswith(".py"):
            path = os.path.abspath(file)
            return find(module_of(os.path.basename(path)[:-3], path, None), name_in_it)
        return find(module_of(file, None, None), name_in_it)


def search_files():
    """Searches the files that travel with the job for imports, before everything else."""
    if _files:
        sys.path.insert(0, _files)


def load(request):
    """The function that the JSON of a function frame asks for."""
    module = module_of(request["module"], request.get("path"), request.get("source"))
    return Function(find(module, request["name"]), module, bool(request.get("details")))


def find(module, name):
    """What stands in a module under a name, in which dots reach into classes."""
    place = module
    for part in name.split("."):
        try:
            place = getattr(place, part)
        except AttributeError:
            from . import refusals

            raise Refused(refusals.missing(module, place, part)) from None
    if not callable(place):
        from . import refusals

        raise Refused(refusals.not_callable(module, name, place))
    return place


def module_of(name, path, source):
    """The module made from a text or, without one, from the file at `path`; without either, the module imported."""
    if name == "__main__":
        name = "main"  # The runner's own name; and what a file guards with it is not meant to run here.
    with _lock:
        known = _modules.get((name, path))
        if known is not None and source in (None, known[0]):
            return known[1]
        try:
            module = _imported(name) if path is None and source is None else _made(name, path, source)
        except BaseException as error:
            from . import refusals

            raise Refused(refusals.not_loaded(name, path, error)) from None
        _modules[name, path] = (source, module)
        return module


def _imported(name):
    try:
        put_first(os.getcwd())
    except FileNotFoundError:
        pass  # The folder was removed: there is nothing to import from it.
    __import__(name)
    return sys.modules[name]


def _made(name, path, source):
    if source is None:
        with open(path, "rb") as file:
            source = file.read()
    elif source.startswith("\ufeff"):
        source = source[1:]  # A byte order mark is no Python, but editors write it.
    filename = path or f"<{name}>"
    folder = os.path.dirname(filename)
    if os.path.isdir(folder):
        put_first(folder)
    code = compiled(filename, source)
    spec = _frozen_importlib.ModuleSpec(name, Text(source), origin=filename)
    spec.has_location = True
    module = _frozen_importlib.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)
    except BaseException:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise
    return sys.modules.get(name, module)  # A module may put something else in its place.


def compiled(filename, source):
    """The code of a text; the same text is compiled once, in a prepared parent for all its children."""
    code = _codes.get((filename, source))
    if code is None:
        code = _codes[filename, source] = compile(source, filename, "exec", dont_inherit=True)
        sources[filename] = source
    return code


def put_first(folder):
    """Searches a folder for imports before all others but that of the job's files."""
    place = 1 if _files else 0
    if folder != _files and sys.path[place : place + 1] != [folder]:
        sys.path.insert(place, folder)


class Text:
    """The loader of a module made from text, for those who ask a module for its source."""

    def __init__(self, source):
        self._source = source

    def get_source(self, _name):
        return self._source if isinstance(self._source, str) else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        """Runs the module's text again: `importlib.reload`."""
        exec(compiled(module.__file__, self._source), module.__dict__)
