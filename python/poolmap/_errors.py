"""What can become of a task other than a value, as exceptions.

Those that tell of dead processes are in `_died`, which is read when one dies.
"""

import concurrent.futures

_TIMEOUTS = (
    (TimeoutError,)
    if concurrent.futures.TimeoutError is TimeoutError
    else (concurrent.futures.TimeoutError, TimeoutError)
)


class TaskTimeout(*_TIMEOUTS):
    """This task took longer than its `timeout` and was stopped."""


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


def of_failure(kind, type, message, traceback, pickled):
    """The exception for a task that failed: the one that it raised, where there is one."""
    if kind == "exception":
        error = _loaded(pickled) or RemoteError(type, message)
        if traceback:
            error.__cause__ = RemoteTraceback(traceback)
        return error
    if kind == "timeout":
        return TaskTimeout(message)
    if kind == "cancelled":
        return concurrent.futures.CancelledError()
    from . import _died

    return {"out_of_memory": _died.TaskOutOfMemory, "lost": _died.TaskLost}.get(kind, _died.TaskDied)(message)


def of_pool(reason):
    """The exception for tasks that can no longer run."""
    from . import _died

    return _died.PoolBroken(reason)


def _loaded(pickled):
    if not pickled:
        return None
    import pickle

    try:
        error = pickle.loads(pickled)
    except Exception:
        return None  # Exceptions whose `__init__` wants other arguments than it keeps are such.
    return error if isinstance(error, BaseException) else None
