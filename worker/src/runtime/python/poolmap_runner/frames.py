"""Frames on a socket: the header of `worker/src/slot/frame.rs`, and a body."""

import os
from _struct import Struct

HEADER = Struct("<IIIIQQQQ")

FUNCTION, BATCH, DRAINED, EXIT, READY, REFUSED, DONE, FULL, LARGE, DEFINE = range(1, 11)
# Only on the control socket of a prepared parent.
FORK, FORKED, EXITED = range(16, 19)

_READ_BYTES = 1 << 18
# A body that is received in parts begins so far from where memory is aligned: a payload after one length is then aligned.
_BODY_OFFSET = 12


class Gone(Exception):
    """The other end of the socket is closed."""


class Frame:
    """A frame that was received; the fields are those of the header."""

    __slots__ = ("kind", "function", "count", "attempt", "sequence", "index", "value", "body")

    def __init__(self, header, body):
        (self.kind, self.function, self.count, self.attempt, self.sequence, self.index, self.value, _) = header
        self.body = body


def receive(descriptor):
    """The next frame."""
    header = HEADER.unpack(read(descriptor, HEADER.size))
    return Frame(header, read(descriptor, header[-1]))


def send(descriptor, kind, *, function=0, sequence=0, index=0, value=0, body=b"", parts=()):
    """Sends a frame whole; its body may also be several parts."""
    parts = parts or (body,)
    length = sum(map(len, parts))
    header = HEADER.pack(kind, function, 0, 0, sequence, index, value, length)
    try:
        # Together if small, so that the other end wakes once; not copied if large.
        if length <= _READ_BYTES:
            _write(descriptor, b"".join((header, *parts)))
        else:
            for part in (header, *parts):
                _write(descriptor, part)
    except ConnectionError:
        raise Gone from None


def _write(descriptor, data):
    written = os.write(descriptor, data)
    if written < len(data):
        rest = memoryview(data)
        while written < len(rest):
            written += os.write(descriptor, rest[written:])


def read(descriptor, size):
    """Exactly `size` bytes."""
    if size == 0:
        return b""
    try:
        data = os.read(descriptor, min(size, _READ_BYTES))
        return data if len(data) == size else _read_on(descriptor, data, size)
    except ConnectionError:
        raise Gone from None


def _read_on(descriptor, beginning, size):
    body = memoryview(bytearray(_BODY_OFFSET + size))[_BODY_OFFSET:]
    got = now = len(beginning)
    body[:got] = beginning
    while now and got < size:
        now = os.readv(descriptor, [body[got:]])
        got += now
    if got < size:
        raise Gone
    return body
