"""The functions that are measured, the same for poolmap and for every Python peer."""

import time


def do_work(a, b, c):
    return f"Pokemon#{a}{b}{c}"


def burn(milliseconds):
    """Keeps a core busy for so much CPU time, whatever else runs; returns what it used."""
    start = time.thread_time_ns()
    end = start + int(milliseconds * 1e6)
    while (now := time.thread_time_ns()) < end:
        pass
    return (now - start) / 1e6


def same(payload):
    return payload
