"""Failures: what the pool is told of an exception, as `worker/src/slot/record.rs` has it.

Read when the first task fails, because tracebacks need half of the standard library.
"""

import linecache
import os
import traceback

from . import functions, values

_MACHINERY = (
    os.path.dirname(os.path.abspath(__file__)) + os.sep,
    os.path.join(os.path.dirname(os.path.abspath(traceback.__file__)), "asyncio") + os.sep,
    "<frozen importlib",
)
_TEXT_LIMIT = 1 << 20  # Characters of a message or a traceback that are kept.


def encode(error):
    """The body of a failure record."""
    try:
        return _encoded(type_name(error), message(error), trace(error))
    except MemoryError:
        return _encoded(type_name(error), "", "")


def _encoded(kind, text, trace):
    fields = {"kind": "exception", "type": kind, "message": text}
    if trace:
        fields["traceback"] = trace
    # Lone surrogates are spelled out: this JSON is read by others than the function's own side.
    return values.encode({name: _plain(field) for name, field in fields.items()})


def _plain(text):
    shortened = text if len(text) <= _TEXT_LIMIT else text[:_TEXT_LIMIT] + " [shortened]"
    return shortened.encode("utf-8", "backslashreplace").decode("utf-8")


def type_name(error):
    """The exception's type, with its module unless it is built in."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def message(error):
    """What the exception says, whatever its `__str__` does."""
    try:
        return str(error)
    except BaseException as worse:
        return f"<its text cannot be had: __str__ raised {type(worse).__qualname__}>"


def trace(error):
    """The traceback from the user's first frame on; empty if there is none."""
    own = users_traceback(error)
    if own is None:
        return ""  # Nothing of the user's ran, say because the arguments did not fit: the message says it all.
    know_sources()
    try:
        return "".join(traceback.format_exception(type(error), error, own))
    except Exception as worse:  # Exceptions can have members that raise when they are shown.
        return f"<the traceback cannot be shown: {type(worse).__qualname__}>"


def know_sources():
    """Lets tracebacks show the lines of files that are not on this host."""
    for filename, source in functions.sources.items():
        if filename not in linecache.cache:
            text = source if isinstance(source, str) else source.decode("utf-8", "replace")
            linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)


def users_traceback(error):
    """The part of a traceback that begins with the user's first frame, or `None`."""
    own = error.__traceback__
    while own is not None and own.tb_frame.f_code.co_filename.startswith(_MACHINERY):
        own = own.tb_next
    return own


def explain(value, error):
    """The exception that tells the user why a value could not be encoded."""
    if isinstance(error, RecursionError):
        return ValueError("the function returned a value that contains itself, or that is nested too deep for JSON")
    if isinstance(error, TypeError):
        what = _offender(value, str(error))
        return TypeError(f"the function returned {what}, which JSON cannot carry; {_advice(value)}")
    if isinstance(error, ValueError):
        return ValueError(f"the function returned a number that JSON cannot carry: {error}")
    return error


def _offender(value, said):
    """What cannot be carried: the value itself, something in it, or a key, of which the encoder says so."""
    if "keys must be" in said:
        return f"a dict with a key of type {said.rpartition(' ')[2]}"
    if type(value).__qualname__ == said:
        return f"a value of type {said}"
    return f"a {type(value).__qualname__} that holds a value of type {said}"


def _advice(value):
    kind = type(value).__name__
    if kind == "generator":
        return "return its items in a list: list(...)"
    if kind == "async_generator":
        return "return its items in a list: [item async for item in ...]"
    return "return None, bool, int, float, str, list, tuple or dict with str keys"
