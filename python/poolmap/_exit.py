"""The end of the interpreter, and forks of it: pools end before the one, and are no more after the other."""

import os
import sys
import threading

from . import _native

# Pools that have not ended: the event of their end, and how to close them.
_live = {}
is_shutting_down = False


def keep(ended, close):
    """Has the end of the interpreter wait for a pool, after `close(at_once)`."""
    _live[ended] = close


def forget(ended):
    """A pool has ended."""
    _live.pop(ended, None)


def _end():
    global is_shutting_down
    is_shutting_down = True
    was_interrupted = getattr(sys, "last_type", None) is KeyboardInterrupt
    for close in list(_live.values()):
        close(was_interrupted)
    for ended in list(_live):
        ended.wait()


def _forked():
    _native.forked()
    _live.clear()


# Runs before threads are waited for, when nothing of the interpreter is gone yet.
threading._register_atexit(_end)
os.register_at_fork(after_in_child=_forked)
