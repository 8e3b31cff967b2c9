"""Functions for the tests, in a module that both sides import."""

import os
import time


def add(a, b=1):
    return a + b


def pid(_=None):
    return os.getpid()


def fail(text):
    raise ValueError(text)


def die(status=3):
    os._exit(status)


def wait_for(path, seconds=30):
    """Touches `path` + '.begun', then waits until `path` is there."""
    open(f"{path}.begun", "w").close()
    deadline = time.monotonic() + seconds
    while not os.path.exists(path):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return os.getpid()


class Unreadable(Exception):
    """Cannot be made again from what it keeps."""

    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


def fail_unreadably():
    raise Unreadable("one", "two")


def fail_without_pickle():
    error = ValueError("with a lock")
    import threading

    error.lock = threading.Lock()
    raise error


def count(path):
    """Adds a byte to a file and returns how many there are now."""
    with open(path, "ab") as file:
        file.write(b".")
    return os.path.getsize(path)


def initialize(value):
    os.environ["INITIALIZED"] = value


def initialized():
    return os.environ.get("INITIALIZED")


async def awaited(value):
    import asyncio

    await asyncio.sleep(0)
    return value


def same(value):
    return value


_kept = []


def keep(value):
    _kept.append(value)


def kept():
    return _kept[0]


class CountedLoads:
    """Knows how often such an object was unpickled in this process."""

    _count = 0

    def __init__(self):
        self.is_sent = True

    def __setstate__(self, state):
        CountedLoads._count += 1

    def loads(self):
        return CountedLoads._count
