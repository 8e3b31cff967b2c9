"""What users are told when a function cannot be loaded: up to four lines that say what is wrong and what there is."""

import difflib
import os
import sys
import traceback

from . import failures, functions

_NAMES_SHOWN = 10


def not_loaded(name, path, error):
    """Why a module could not be had."""
    label = _label(name, path)
    if isinstance(error, SyntaxError):
        return _syntax(label, error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _not_found(name, path, error.name)
    if isinstance(error, OSError) and error.filename == path is not None:
        return f"cannot read {path}: {error.strerror}"
    what = f"{failures.type_name(error)}: {failures.message(error)}".rstrip(": ")
    text = f"{label} cannot be imported; it raised {what}"
    failures.know_sources()
    frames = traceback.extract_tb(failures.users_traceback(error))
    users = [frame for frame in frames if frame.filename == path] or frames
    return text + "".join(f"\n    {frame.filename}, line {frame.lineno}: {frame.line}" for frame in users[-1:])


def _syntax(label, error):
    file = os.path.basename(error.filename) if error.filename else label
    shown = f"\n    {error.text.strip()}" if error.text else ""
    return f"{file}, line {error.lineno}: {error.msg}{shown}"


def _not_found(name, path, missing):
    asked = f"{sys.executable} (Python {sys.version_info[0]}.{sys.version_info[1]})"
    if path is None and (name == missing or name.startswith(f"{missing}.")):
        return (
            f"there is no module '{missing}' for {asked}, nor in {sys.path[0]}\n"
            "give the path of a .py file, or --python an interpreter that has the module"
        )
    return (
        f"{_label(name, path)} imports '{missing}', which {asked} does not have\n"
        f"install it there, or give --python an interpreter that has it"
    )


def missing(module, place, part):
    """Why a name is not there, with what is close and what there is."""
    inside = f"class {place.__qualname__} in " if isinstance(place, type) else ""
    text = f"{inside}{_label_of(module)} has no function '{part}'"
    names = _function_names(module, place)
    if not names:
        return f"{text}; it has none"
    close = difflib.get_close_matches(part, names, n=1)
    text += f"; did you mean '{close[0]}'? It has: " if close else "; it has: "
    more = "" if len(names) <= _NAMES_SHOWN else f" and {len(names) - _NAMES_SHOWN} more"
    return f"{text}{', '.join(names[:_NAMES_SHOWN])}{more}"


def _function_names(module, place):
    """The functions and classes that a module or a class defines itself; what it has imported only if that is all."""
    names = [name for name in getattr(place, "__dict__", ()) if not name.startswith("_")]
    found = {name: value for name in names if callable(value := getattr(place, name, None))}
    own = [name for name, value in found.items() if getattr(value, "__module__", None) == module.__name__]
    return own or list(found)


def not_callable(module, name, value):
    """What a name stands for, if that cannot be called."""
    return f"'{name}' in {_label_of(module)} is of type {type(value).__qualname__}, not a function"


def _label_of(module):
    file = getattr(module, "__file__", None)
    return _label(module.__name__, file if file in functions.sources and os.path.isabs(file) else None)


def _label(name, path):
    return os.path.basename(path) if path else f"module '{name}'"
