"""Pickles with buffers behind them: large arrays are neither copied into a pickle nor out of it.

Such a payload begins with a word of 64 bits, the number of buffers shifted by 8, and the lengths of the pickle and of each
buffer, likewise; then come the pickle and the buffers, each at a multiple of `ALIGNMENT`. No pickle begins with a zero.

Both ends use this file: it is `poolmap/_buffers.py`, too.
"""

from _struct import Struct
from pickle import dumps, loads

PROTOCOL = 5
# Of the largest numbers that arrays are made of.
ALIGNMENT = 16
# Smaller ones are copied faster than they are kept track of.
LEAST_BYTES = 1 << 16
MOST_BUFFERS = 100
# Smaller payloads are copied, since others may lie before them: the address decides whether arrays can lie there.
ALONE_BYTES = 1 << 20

_word = Struct("<Q")


class Pickler:
    """Pickles values, with their large buffers apart."""

    def __init__(self):
        self.buffers = []

    def dumps(self, value):
        """The pickle of a value; `buffers` are its large buffers until `parts` has taken them."""
        return dumps(value, PROTOCOL, buffer_callback=self._keep)

    def _keep(self, buffer):
        raw = buffer.raw()
        is_small = raw.nbytes < LEAST_BYTES or len(self.buffers) == MOST_BUFFERS
        if not is_small:
            self.buffers.append(raw)
        return is_small

    def parts(self, pickled):
        """What is to be written, one after another, of the pickle and the buffers."""
        buffers = self.buffers[:]
        self.buffers.clear()
        lengths = [len(buffers) << 8, len(pickled), *(buffer.nbytes for buffer in buffers)]
        parts = []
        for part in (b"".join(map(_word.pack, lengths)), pickled, *buffers):
            parts += part, bytes(-len(part) % ALIGNMENT)
        return parts


def load(payload):
    """What a payload with buffers holds. Arrays lie in the payload, which is theirs from here on, unless it must be copied."""
    if len(payload) < ALONE_BYTES:
        payload = bytearray(payload)
    payload = memoryview(payload)
    count = (_word.unpack_from(payload)[0] >> 8) + 1
    lengths = Struct(f"<{count}Q").unpack_from(payload, _word.size)
    parts, begin = [], _word.size * (count + 1)
    for length in lengths:
        begin += -begin % ALIGNMENT
        parts.append(payload[begin : begin + length])
        begin += length
    return loads(parts[0], buffers=parts[1:])
