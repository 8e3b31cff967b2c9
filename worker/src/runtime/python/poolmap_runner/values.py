"""Tasks and values as JSON.

The parts of the `json` package that are written in C are used without the package, whose import would be a good part
of a runner's start; an interpreter that lacks them falls back to the package.
"""

import gc
from _struct import Struct


class Unreadable:
    """Stands for a task whose payload is not JSON."""

    def __init__(self, reason):
        self.reason = reason


def _no_constant(name):
    raise ValueError(f"{name} is not JSON")


def _cannot_carry(value):
    raise TypeError(type(value).__qualname__)


class _Rules:
    """What the scanner is told: strict JSON, Python's own types."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_no_constant)


try:
    from _json import encode_basestring as quote
    from _json import make_encoder, make_scanner

    _scan = make_scanner(_Rules)
    # Without the dict of containers seen (the first None), a value that contains itself ends in a RecursionError, and
    # all others are encoded faster.
    chunks = make_encoder(None, _cannot_carry, quote, None, ":", ",", False, False, False)
except (ImportError, TypeError):
    import json

    _scan = json.JSONDecoder(parse_constant=_no_constant).scan_once
    _encode = json.JSONEncoder(
        ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"), default=_cannot_carry
    ).encode
    quote = json.encoder.encode_basestring

    def chunks(value, _level):
        """As the function made above: the text of a value in pieces."""
        return (_encode(value),)


def parse(text):
    """The value that a JSON text stands for; raises if there is none (see `_parse_each`)."""
    text = text.strip(" \t\r\n")
    try:
        value, end = _scan(text, 0)
    except StopIteration as stopped:
        raise ValueError(f"a value is missing at character {stopped.value}") from None
    if end != len(text):
        raise ValueError(f"there is more after the value, from character {end} on")
    return value


def encode(value):
    """The value as JSON in UTF-8; raises whatever an encoder may: see `failures.explain` for what users are told."""
    text = "".join(chunks(value, 0))
    # What UTF-8 has no form for is lone surrogates; this error handler writes them as JSON escapes them.
    return text.encode("utf-8", "backslashreplace")


def parse_batch(count, body):
    """The `count` tasks of a batch frame's body: parsed values, or `Unreadable`."""
    payloads = memoryview(body)[4 * count :]
    collecting = gc.isenabled()
    gc.disable()  # One list a task: the collector would walk them over and over, for nothing.
    try:
        tasks = parse(f"[{str(payloads, 'utf-8')}]")
        if len(tasks) == count:
            return tasks
    except Exception:
        pass  # Which one of them it is, and what it says, is found below.
    finally:
        if collecting:
            gc.enable()
    return _parse_each(Struct(f"<{count}I").unpack_from(body), payloads)


def _parse_each(lengths, payloads):
    # The scanner raises what this module defines, but does not always import it: else it gives a SystemError, as it
    # does if a module of the user's hides the package.
    try:
        __import__("json.decoder")
    except ImportError:
        pass
    tasks = []
    begin = 0
    for length in lengths:
        try:
            tasks.append(parse(str(payloads[begin : begin + length], "utf-8")))
        except Exception as error:
            reason = "" if isinstance(error, SystemError) else f": {error}"
            tasks.append(Unreadable(f"the task is not JSON{reason}"))
        begin += length + 1
    return tasks
