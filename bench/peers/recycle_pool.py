"""Children replaced after every ten tasks: recycle_pool.py START_METHOD INPUT, one result a line as it comes"""

import multiprocessing
import sys

import calls
from numpy_tasks import burn


def main(method, source):
    context = multiprocessing.get_context(method)
    with context.Pool(2, maxtasksperchild=10) as pool:
        for pid in pool.imap_unordered(burn, calls.read(source)):
            print(pid, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
