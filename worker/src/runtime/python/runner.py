"""The Python runner: a plain interpreter (CPython 3.9 or newer) that serves slots of a poolmap worker.

    python runner.py [--stdout] SOCKET_FD:MAP_FD[,SOCKET_FD:MAP_FD...]
    python runner.py [--stdout] --prepared CONTROL_FD MODULE[,MODULE...]

The first form serves one slot for each pair of descriptors, as `worker/src/slot/mod.rs` specifies. Several pairs are
the thread backend: each slot is a thread of this one process, with words, outcomes and an event loop of its own, while
modules, `os.environ` (hence POOLMAP_ATTEMPT), the current directory and the standard streams belong to all of them.
The second form is the prepared parent of `--preload`; `poolmap_runner/prepared.py` specifies its control socket. With
`--stdout` what tasks print goes to standard output, else to standard error.

This file and the folder `poolmap_runner` beside it are all there is. The file that Python is started with is compiled
at every start and the modules it imports only once, so everything but these lines is in the package; and what few jobs
need (failures, awaiting, details, pickled, refusals) is a module that is read when it is first needed.
"""

import os
import sys


def main():
    if sys.version_info < (3, 9):  # Said here, in words that older versions understand.
        sys.exit("poolmap needs Python 3.9 or newer, and this is Python %d.%d" % sys.version_info[:2])
    folder = os.path.dirname(os.path.abspath(__file__))
    if sys.path[:1] != [folder]:  # An interpreter in safe-path mode does not put it there.
        sys.path.insert(0, folder)
    wanted = sys.dont_write_bytecode
    sys.dont_write_bytecode = False  # Compiling the package again would be a third of each start; the folder is ours.
    import poolmap_runner

    sys.dont_write_bytecode = wanted
    del sys.path[0]  # The user's folder belongs there.
    arguments = sys.argv[1:]
    del sys.argv[1:]  # Modules that read their options on import must not find ours.
    poolmap_runner.main(arguments)


if __name__ == "__main__":  # A task's multiprocessing children may import this file under another name.
    main()
