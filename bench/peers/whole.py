"""Runs a program until everything that it started has ended: whole.py PROGRAM [ARG]...

So the CPU time of a cluster's services counts, and what still stops is not in the next one's way.
"""

import ctypes
import os
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36


def wait_for_all():
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass


def main(*program):
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    status = subprocess.run(program).returncode
    wait_for_all()
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
