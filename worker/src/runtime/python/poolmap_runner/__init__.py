"""Starts what the command line asks for: slots to serve, or the prepared parent.

Owns the process: its standard streams, its slot threads and its end.
"""

import atexit
import os
import sys

from . import functions, slot


def main(arguments):
    """Serves until the pool says to exit or is gone, then ends the process; never returns."""
    keeps_stdout = arguments[0] == "--stdout"
    if keeps_stdout:
        del arguments[0]
    own_standard_streams(keeps_stdout)
    functions.search_files()
    if arguments[0] == "--prepared":
        from . import prepared

        prepared.serve(int(arguments[1]), arguments[2].split(","), keeps_stdout)
    else:
        pairs = [tuple(map(int, pair.split(":"))) for pair in arguments[0].split(",")]
        serve_slots(pairs)


def own_standard_streams(keeps_stdout):
    """Sends everything printed, and everything written to descriptor 1, to standard error, unless told to keep them apart."""
    if not keeps_stdout:
        os.dup2(2, 1)
    if sys.stdout is not None:
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")


def serve_slots(pairs):
    """Serves a slot for each (socket, map) pair of descriptors; never returns."""
    try:
        slots = [slot.Slot(socket, shared, alone=len(pairs) == 1) for socket, shared in pairs]
        os.register_at_fork(after_in_child=lambda: [each.let_go() for each in slots])
        threads = [_started_thread(each) for each in slots[1:]]
        slots[0].serve()
        for thread in threads:
            thread.join()
        slot.flush_streams()
        _run_exit_handlers()
        slot.flush_streams()
    except BaseException:
        _die()
    # Threads and children that tasks have left running are not waited for.
    os._exit(0)


def _started_thread(served):
    # Imported by the main thread, which `threading` would otherwise mistake a slot's thread for.
    import threading

    thread = threading.Thread(target=_serve_in_thread, args=(served,), daemon=True)
    thread.start()
    return thread


def _serve_in_thread(served):
    try:
        served.serve()
    except BaseException:
        _die()


def _run_exit_handlers():
    try:
        atexit._run_exitfuncs()
    except BaseException:
        pass  # It has been printed.


def _die():
    """Ends the process at an error of the runner itself: the pool must see a crash, not a slot that is silent."""
    if isinstance(sys.exc_info()[1], KeyboardInterrupt):
        os._exit(130)  # Interrupted while it waited: nobody wants to read where.
    sys.excepthook(*sys.exc_info())
    slot.flush_streams()
    os._exit(70)
