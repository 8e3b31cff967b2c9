"""A slow and lossy wire between two network namespaces.

    wire.py NAMESPACE ADDRESS/BITS NAMESPACE ADDRESS/BITS DELAY_MS JITTER_MS LOSS

It opens a TAP device `wire0` in each and carries frames from one to the other: each is lost with a probability of LOSS,
the others come out in order, DELAY_MS later and up to JITTER_MS more. It prints a line when it works, and works until it is
killed or its standard input ends.
"""

import collections
import ctypes
import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
FRAME_BYTES = 1 << 16


def open_end(namespace, address):
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    away = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if libc.setns(away, 0) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", b"wire0", IFF_TAP | IFF_NO_PI))
    libc.setns(home, 0)
    os.close(home)
    os.close(away)
    for words in (f"address add {address} dev wire0", "link set wire0 up"):
        subprocess.run(["ip", "-n", namespace, *words.split()], check=True)
    return end


class Direction:
    """Frames on their way from one end to the other, in the order in which they arrive."""

    def __init__(self, source, target, delay, jitter, loss):
        self.source, self.target = source, target
        self._delay, self._jitter, self._loss = delay, jitter, loss
        self._frames = collections.deque()
        self._last = 0.0

    def due(self):
        return self._frames[0][0] if self._frames else None

    def take(self):
        while True:
            try:
                frame = os.read(self.source, FRAME_BYTES)
            except BlockingIOError:
                return
            if random.random() >= self._loss:
                arrival = time.monotonic() + self._delay + random.random() * self._jitter
                self._last = max(self._last, arrival)
                self._frames.append((self._last, frame))

    def deliver(self, now):
        while self._frames and self._frames[0][0] <= now:
            try:
                os.write(self.target, self._frames.popleft()[1])
            except OSError:
                pass  # As on a real wire: a frame that nobody can take is lost.


def main(first, first_address, second, second_address, delay_ms, jitter_ms, loss):
    ends = open_end(first, first_address), open_end(second, second_address)
    quality = float(delay_ms) / 1e3, float(jitter_ms) / 1e3, float(loss)
    directions = [Direction(*ends, *quality), Direction(*reversed(ends), *quality)]
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        dues = [direction.due() for direction in directions if direction.due() is not None]
        patience = max(0.0, min(dues) - now) if dues else None
        readable, _, _ = select.select([sys.stdin, *ends], [], [], patience)
        if sys.stdin in readable:
            return
        for direction in directions:
            if direction.source in readable:
                direction.take()
            direction.deliver(time.monotonic())


if __name__ == "__main__":
    main(*sys.argv[1:])
