"""Tasks that go wrong, for `faults`."""

import os
import signal
import time

kept = []


def work(task, deadly, milliseconds):
    """Keeps a core busy for so much CPU time; one of them kills its child instead."""
    if task == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    end = time.thread_time_ns() + int(milliseconds * 1e6)
    while time.thread_time_ns() < end:
        pass
    return task


def leak(megabytes):
    """Never gives its memory back."""
    kept.append(b"x" * (megabytes << 20))
    time.sleep(0.01)


def tick(milliseconds):
    """Which child ran it, and when it began."""
    began = time.time_ns()
    time.sleep(milliseconds / 1e3)
    return [os.getpid(), began]
