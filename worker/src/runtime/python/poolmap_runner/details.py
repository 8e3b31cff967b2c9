"""What a task prints, for jobs that ask for details: kept for its record, and still written to standard error.

Streams are Python's: what goes to the descriptors directly is not seen here.
"""

import io
import os
import sys
from _thread import _local

from .slot import flush_streams

_KEPT_BYTES = 16 << 20  # Of each stream of one task.

_current = _local()


class Capture:
    """Keeps what the tasks of one slot print."""

    _of_all_threads = None

    def __init__(self, alone):
        if not isinstance(getattr(sys.stdout, "buffer", None), _Tee):
            sys.stdout = _stream("stdout", alone)
            sys.stderr = _stream("stderr", alone)
        self.kept = {"stdout": [], "stderr": []}
        self.bytes = {"stdout": 0, "stderr": 0}
        if alone:  # Then threads that a task starts print for that task, too.
            Capture._of_all_threads = self

    def begin(self):
        """From here on this thread prints for a new task."""
        _current.capture = self
        for name in self.kept:
            self.kept[name] = []
            self.bytes[name] = 0

    def end(self):
        """What was printed to stdout and to stderr since the beginning."""
        flush_streams()
        return b"".join(self.kept["stdout"]), b"".join(self.kept["stderr"])

    def keep(self, name, data):
        """Keeps what fits of what was printed."""
        data = data[: _KEPT_BYTES - self.bytes[name]]
        self.bytes[name] += len(data)
        self.kept[name].append(data)


class _Tee(io.RawIOBase):
    def __init__(self, name):
        super().__init__()
        self._name = name

    def writable(self):
        return True

    def fileno(self):
        return 2

    def isatty(self):
        return os.isatty(2)

    def write(self, data):
        data = bytes(data)
        capture = getattr(_current, "capture", Capture._of_all_threads)
        if capture is not None:
            capture.keep(self._name, data)
        at = 0
        while at < len(data):
            at += os.write(2, data[at:])
        return at


def _stream(name, alone):
    # Threads that share the stream must not find each other's half lines in its buffer.
    buffering = {"line_buffering": True} if alone else {"write_through": True}
    return io.TextIOWrapper(_Tee(name), encoding="utf-8", errors="backslashreplace", **buffering)
