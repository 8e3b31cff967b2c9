"""Calls as they travel: which functions of a job's list they name, and how they are pickled.

The other side is the runner's `pickled.py`. What can be pickled by reference is; what lives in `__main__`, and lambdas and
closures, travels by value, with cloudpickle. A function travels once to each child: calls name it by its number.

A function by value must not go stale: it is pickled again whenever a global variable that it uses has another value than
when it was pickled, and at each call if it uses one that can change without that (a list, say).
"""

import os
import pickle
import sys
import weakref
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

from . import _unpicklable
from ._buffers import Pickler

PROTOCOL = 5
_CARRIED = 0
_WITH_KEYWORDS = 1

_MAIN = b"__main__"
_MISSING = object()
# What a job's list of functions may hold; children and the coordinator keep it for as long as the job lives.
_FUNCTIONS_MAX = 10_000
_FUNCTIONS_BYTES_MAX = 64 << 20
# Stands for all that may change unseen.
_UNKNOWN = ({}, "", _MISSING)
_UNCHANGING = (int, float, complex, bool, str, bytes, type(None), ModuleType, type, BuiltinFunctionType)


class Calls:
    """The functions of one job, by identity. `retire(self)` is called when there are so many that another job should take its place."""

    def __init__(self, job, retire):
        self._job = job
        self._retire = retire
        self._entries = {}
        self._numbers = {}
        self._bytes = 0

    def is_full(self):
        """Whether the job's list of functions is so long that another job should take its place."""
        return len(self._numbers) >= _FUNCTIONS_MAX or self._bytes >= _FUNCTIONS_BYTES_MAX

    def number(self, function):
        """The number of a function in the job's list, or None if it must travel with its task.

        What travels by value enters the list when it is used again: a lambda that is used once costs no memory for as long
        as the job lives.
        """
        entry = self._entries.get(id(function))
        if entry is None:
            entry = self._entry(function)
            if entry is None:
                return None
        if entry.number is not None and (entry.watched is None or entry.is_current()):
            return entry.number
        return self._numbered(entry, function)

    def number_at_once(self, function):
        """The number of a function that is about to be called many times."""
        number = self.number(function)
        return self._add(dumps_function(function)) if number is None else number

    def carried(self, function, arguments, keywords):
        """The payload of a call that carries its function."""
        entry = self._entries.get(id(function))
        pickled = entry.pickled if entry is not None else dumps_function(function)
        return dumps_call((_CARRIED, (pickled, arguments, keywords)), function, arguments, keywords)

    def _entry(self, function):
        if not _is_nameable(function):
            return None
        key, entries = id(function), self._entries
        entry = entries[key] = _Entry(weakref.ref(function, lambda _: entries.pop(key, None)))
        return entry

    def _numbered(self, entry, function):
        pickled = dumps_function(function)
        is_same = pickled == entry.pickled
        if not is_same:
            entry.number = None
        entry.pickled, entry.watched = pickled, _dependencies(function, pickled)
        if entry.number is None and (is_same or entry.watched is None):
            entry.number = self._add(pickled)
        return entry.number

    def _add(self, pickled):
        number = self._numbers.get(pickled)
        if number is None:
            number = self._numbers[pickled] = self._job.add_function(pickled)
            self._bytes += len(pickled)
            if self.is_full():
                self._retire(self)
        return number


class _Entry:
    """A function that calls have named."""

    __slots__ = ("function", "number", "pickled", "watched")

    def __init__(self, function):
        self.function = function
        self.number = None
        self.pickled = None
        # Variables that the function uses, with the values they had; None for a function that cannot go stale.
        self.watched = None

    def is_current(self):
        """Whether the function would be pickled as before, for all that can be told without doing so."""
        for namespace, name, value in self.watched:
            if value is _MISSING or _look_up(namespace, name) is not value:
                return False
        return True


def _is_nameable(function):
    """Whether the function is an object of its own, which does not change from call to call."""
    if isinstance(function, (FunctionType, type)):
        return True
    return isinstance(function, BuiltinFunctionType) and isinstance(function.__self__, (ModuleType, type(None)))


def _dependencies(function, pickled):
    """The variables that a pickle depends on; None for one by reference, which depends on none."""
    if b"cloudpickle" not in pickled:
        return None
    return _variables(function) if isinstance(function, FunctionType) else [_UNKNOWN]


def _is_found_elsewhere(function):
    """Whether a function travels by reference."""
    return function.__module__ != "__main__" and "<" not in function.__qualname__


def _look_up(namespace, name):
    if name is not None:
        return namespace.get(name, _MISSING)
    try:
        return namespace.cell_contents
    except ValueError:
        return _MISSING


def _variables(function):
    """The variables that a function and those that it calls use, by value as far as they are by value themselves.

    One that can change in place, or whose value would travel along unseen, is listed as missing: then nothing is known.
    """
    watched, seen, todo = [], {id(function)}, [function]
    while todo:
        function = todo.pop()
        places = [(function.__globals__, name) for name in sorted(_global_names(function.__code__))]
        places += [(cell, None) for cell in function.__closure__ or ()]
        for namespace, name in places:
            value = _look_up(namespace, name)
            if value is _MISSING:
                continue  # A built-in function, or one that is not there yet.
            if isinstance(value, FunctionType):
                if id(value) not in seen and not _is_found_elsewhere(value):
                    seen.add(id(value))
                    todo.append(value)
            elif not isinstance(value, _UNCHANGING):
                value = _MISSING
            watched.append((namespace, name, value))
        if function.__dict__ or not _are_unchanging(function.__defaults__, function.__kwdefaults__):
            watched.append(_UNKNOWN)
    return watched


def _are_unchanging(defaults, keyword_defaults):
    values = [*(defaults or ()), *(keyword_defaults or {}).values()]
    return all(isinstance(value, _UNCHANGING) for value in values)


def _global_names(code):
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _global_names(constant)
    return names


def dumps_function(function):
    """The pickle of a function: by reference where another process finds it, else by value."""
    try:
        pickled = pickle.dumps(function, PROTOCOL)
        if _MAIN not in pickled:
            return pickled
    except Exception:
        pass
    import cloudpickle

    try:
        return cloudpickle.dumps(function, PROTOCOL)
    except Exception as error:
        name = getattr(function, "__qualname__", repr(function))
        raise _unpicklable.explained(function, f"the function {name}", error) from None


def dumps_call(call, function, arguments, keywords):
    """The payload of a call, by value where pickle alone cannot, or would refer to what only this process has."""
    pickler = Pickler()
    try:
        pickled = pickler.dumps(call)
        if _MAIN not in pickled:
            return b"".join(pickler.parts(pickled)) if pickler.buffers else pickled
    except Exception:
        pass
    import cloudpickle

    try:
        return cloudpickle.dumps(call, PROTOCOL)
    except Exception as error:
        raise _unpicklable.explained_call(function, arguments, keywords, error) from None


def pickled(function, number, arguments, keywords):
    """The payload of a call of a function of the list."""
    call = (number, arguments) if keywords is None else (_WITH_KEYWORDS, (number, arguments, keywords))
    return dumps_call(call, function, arguments, keywords)


def dumps_setup(initializer, initargs, is_here):
    """What a child does before its first task. On other hosts it has an import path of its own, and perhaps another cloudpickle."""
    pair = None
    if initializer is not None:
        pair = dumps_call((initializer, initargs), initializer, initargs, None)
    setup = {"version": sys.version_info[:2], "argv": sys.argv, "initializer": pair}
    setup |= {"path": sys.path} if is_here else {"modules": _cloudpickle()}
    return pickle.dumps(setup, PROTOCOL)


def _cloudpickle():
    """The text of each module of cloudpickle."""
    import cloudpickle

    folder, texts = os.path.dirname(cloudpickle.__file__), {}
    for file in os.listdir(folder):
        stem, suffix = os.path.splitext(file)
        if suffix == ".py":
            with open(os.path.join(folder, file), encoding="utf-8") as text:
                texts["cloudpickle" if stem == "__init__" else f"cloudpickle.{stem}"] = text.read()
    return texts
