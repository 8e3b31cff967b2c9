"""A task whose module needs a heavy import; it tells which child ran it."""

import os
import time

import numpy


def burn(milliseconds):
    end = time.thread_time_ns() + int(numpy.float64(milliseconds) * 1e6)
    while time.thread_time_ns() < end:
        pass
    return os.getpid()
