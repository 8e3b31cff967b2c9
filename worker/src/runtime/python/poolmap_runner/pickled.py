"""Calls as the Python package pickles them: the functions of a job, and the loop that runs its tasks.

- The body of the frame that announces the job is a pickled dict: `version` of Python, which must be this one's; `argv` for `sys`; `initializer`, which is None or a pickled
  pair of a function and its arguments; and `path` for `sys` where the calls come from this host. Otherwise `modules` are texts
  of modules that the pickles need, by their names: this host may have another version, or none.
- Each function of the job's list comes in a frame of its own, pickled, and is loaded when a task first names it.
- A payload is a pair of a number and arguments. Numbers from `FIRST_FUNCTION` on are the functions of the list; those below
  are calls of this module: `_call_carried` and `_call_with_keywords`.
- Payloads and values have one of three forms, told by their first byte: a pickle; a pickle with buffers (`buffers.py`); or
  else what `marshal` writes, for arguments and values of the commonest types. Those can be put together to a list, so that
  one call reads them all.
- A failure carries the exception, pickled, behind a NUL after what it always is.

The Python package writes what this module reads: `poolmap/_calls.py`.
"""

import gc
import marshal
import sys
from _struct import Struct
from pickle import dumps, loads

from . import buffers
from .functions import Refused

PROTOCOL = 5
FIRST_FUNCTION = 2

_PICKLE, _PICKLE_WITH_BUFFERS = 0x80, 0
# Of exactly these types; `marshal` would also take what it does not give back as it was.
_PLAIN = frozenset((str, int, float, bool, type(None)))
# Without references, which would count over a whole list.
_MARSHAL_VERSION = 2


class Calls:
    """The functions of one job in one slot. `is_settled`: another job with the same setup was there before."""

    details = False

    def __init__(self, setup, is_settled=False):
        setup = loads(setup)
        self.is_local = "path" in setup
        if not is_settled:
            self._settle_in(setup)
        self.functions = [_call_carried, self._call_with_keywords]
        self._pickler = buffers.Pickler()

    def _settle_in(self, setup):
        _check_version(setup["version"][:2])
        sys.argv[:] = setup["argv"]
        if self.is_local:
            sys.path[:] = setup["path"] + [folder for folder in sys.path if folder not in setup["path"]]
        else:
            from . import elsewhere

            elsewhere.settle(setup["modules"])
        if setup["initializer"] is not None:
            self._initialize(setup["initializer"])

    def define(self, place, pickled):
        """Takes the function with this number of the job's list."""
        assert place == len(self.functions) - FIRST_FUNCTION, "the pool sends each function once, in order"
        self.functions.append(_Unloaded(self, place + FIRST_FUNCTION, bytes(pickled)))

    def run(self, slot, frame):
        """Runs the tasks of a batch; returns the number after the last one that ran. As `Slot._run_plain`."""
        words, write, functions = slot.words, slot.map.write, self.functions
        plain, pickle, large = marshal.dumps, self._pickler.dumps, self._pickler.buffers
        pack = Struct("<I").pack
        sequence = frame.sequence
        for call in _calls(frame):
            words[0] = sequence
            if words[1] <= sequence:
                break
            try:
                number, arguments = call if type(call) is tuple else _load(call)
                value = functions[number](*arguments)
            except BaseException as error:
                record = self._failed(slot, error)
            else:
                try:
                    if type(value) in _PLAIN:
                        encoded = plain(value, _MARSHAL_VERSION)
                    else:
                        encoded = pickle(value)
                    record = pack(len(encoded)) + encoded
                except BaseException:
                    record = None
                    large.clear()
            # Not in the handler above, whose exception would become the context of the task's own.
            if record is None:
                record = self._settle(slot, value)
            if large:
                slot.write_parts(sequence, self._pickler.parts(encoded))
            else:
                try:
                    write(record)
                except ValueError:
                    slot.write_elsewhere(sequence, record)
            call = number = arguments = value = record = encoded = None  # What a task has made does not outlive it.
            sequence += 1
        return sequence

    def _settle(self, slot, value):
        """The record of a value that is to be awaited, or that pickle alone cannot carry."""
        try:
            if hasattr(type(value), "__await__"):
                value = slot.awaited(value)
            return slot.record(_encode(value))
        except BaseException as error:
            return self._failed(slot, error)

    def _initialize(self, pickled):
        try:
            function, arguments = _load(pickled)
            function(*arguments)
        except BaseException as error:
            from . import failures

            self._explain(error)
            what = f"{failures.type_name(error)}: {failures.message(error)}".rstrip(": ")
            trace = failures.trace(error)
            raise Refused(f"the initializer raised {what}\n{trace}".rstrip()) from None

    def _failed(self, slot, error):
        self._explain(error)
        return slot.failure(error, encode_exception(error))

    def _explain(self, error):
        if not self.is_local and isinstance(error, ModuleNotFoundError):
            from . import elsewhere

            elsewhere.explain(error)

    def _call_with_keywords(self, number, arguments, keywords):
        return self.functions[number](*arguments, **keywords)


def _calls(frame):
    """The calls of a batch, plain ones as what they are and others as their payloads."""
    count, body = frame.count, frame.body
    lengths = Struct(f"<{count}I").unpack_from(body)
    begin = 4 * count
    if body[begin] not in (_PICKLE, _PICKLE_WITH_BUFFERS):
        collecting = gc.isenabled()
        gc.disable()  # Two tuples a task: the collector would walk them over and over, for nothing.
        try:
            return marshal.loads(b"[" + count.to_bytes(4, "little") + body[begin:])
        except (ValueError, TypeError, EOFError):
            pass  # They are not all plain.
        finally:
            if collecting:
                gc.enable()
    payloads = []
    for length in lengths:
        payloads.append(body[begin : begin + length])
        begin += length
    return payloads


def _load(payload):
    """The call in a payload."""
    if payload[0] == _PICKLE:
        return loads(payload)
    if payload[0] == _PICKLE_WITH_BUFFERS:
        return buffers.load(payload)
    return marshal.loads(payload)


def _check_version(version):
    if version == sys.version_info[:2]:
        return
    ours, theirs = (".".join(map(str, each)) for each in (sys.version_info[:2], version))
    raise Refused(
        f"{sys.executable} is Python {ours}, and the calls come from Python {theirs}: pickles and code differ between them\n"
        f"run the program with Python {ours}, or start the worker with --python and a Python {theirs}"
    )


class _Unloaded:
    """Stands in the list of functions for one that no task has named yet."""

    def __init__(self, calls, number, pickled):
        self._calls = calls
        self._number = number
        self._pickled = pickled

    def __call__(self, /, *arguments, **keywords):
        function = self._calls.functions[self._number] = loads(self._pickled)
        return function(*arguments, **keywords)


def _call_carried(pickled, arguments, keywords):
    """Calls a function that travels with its task."""
    return loads(pickled)(*arguments, **keywords)


def _encode(value):
    """The pickle of a value, by cloudpickle where pickle alone cannot; raises what tells the user why there is none."""
    try:
        return dumps(value, PROTOCOL)
    except Exception as error:
        return _encode_by_value(value, error)


def _encode_by_value(value, error):
    try:
        import cloudpickle
    except ImportError:
        raise error from None
    try:
        return cloudpickle.dumps(value, PROTOCOL)
    except Exception as error:
        try:
            from poolmap import _unpicklable
        except ImportError:
            raise error from None
        raise _unpicklable.explained(value, "the function's result", error) from None


def encode_exception(error):
    """The pickle of an exception; empty if it has none, and its text must do."""
    try:
        return _encode(error)
    except BaseException:
        return b""
