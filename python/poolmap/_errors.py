"""What can become of a task other than a value, as exceptions."""

import concurrent.futures
from concurrent.futures import BrokenExecutor

_TIMEOUTS = (
    (TimeoutError,)
    if concurrent.futures.TimeoutError is TimeoutError
    else (concurrent.futures.TimeoutError, TimeoutError)
)


class TaskDied(BrokenExecutor):
    """The process that ran this task died of it, as often as `crash_limit` allows. The text tells the signal or the exit
    code and what the process said last. All other tasks go on."""


class TaskOutOfMemory(TaskDied, MemoryError):
    """This task was killed because memory ran out."""


class TaskLost(TaskDied):
    """The worker that ran this task went away with it."""


class TaskTimeout(*_TIMEOUTS):
    """This task took longer than its `timeout` and was stopped."""


class PoolBroken(BrokenExecutor):
    """Nothing can be run: the initializer raised, or all workers are gone. The text says why."""


class RemoteError(RuntimeError):
    """A task raised an exception that cannot come back as itself: it cannot be pickled, or not be loaded here.

    `type` is its type's name, `message` what it said.
    """

    def __init__(self, type, message):
        super().__init__(f"{type}: {message}" if message else type)
        self.type = type
        self.message = message

    def __reduce__(self):
        return RemoteError, (self.type, self.message)


class RemoteTraceback(Exception):
    """The cause of an exception that was raised in another process: where that was."""

    def __init__(self, traceback):
        super().__init__(traceback)
        self.traceback = traceback

    def __str__(self):
        return f'\n"""\n{self.traceback}"""'


_KINDS = {"crashed": TaskDied, "out_of_memory": TaskOutOfMemory, "lost": TaskLost, "timeout": TaskTimeout}


def of_failure(kind, type, message, traceback, pickled):
    """The exception for a task that failed: the one that it raised, where there is one."""
    if kind == "cancelled":
        return concurrent.futures.CancelledError()
    if kind in _KINDS:
        return _KINDS[kind](message)
    error = _loaded(pickled)
    if error is None:
        error = RemoteError(type, message)
    if traceback:
        error.__cause__ = RemoteTraceback(traceback)
    return error


def _loaded(pickled):
    if not pickled:
        return None
    import pickle

    try:
        error = pickle.loads(pickled)
    except Exception:
        return None  # Exceptions whose `__init__` wants other arguments than it keeps are such.
    return error if isinstance(error, BaseException) else None
