"""One task at a time of a Python program, each waited for: python_latency.py KIND TASKS"""

import concurrent.futures
import multiprocessing
import sys

import poolmap

from latency import measure
from tasks import do_work


def submit(make_executor, tasks):
    with make_executor(2) as pool:
        measure(lambda i: pool.submit(do_work, i, i + 1, i + 2).result(), tasks)


def apply(make_pool, tasks):
    with make_pool(2) as pool:
        measure(lambda i: pool.apply(do_work, (i, i + 1, i + 2)), tasks)


KINDS = {
    "submit-poolmap": (submit, poolmap.Executor),
    "submit-processes": (submit, concurrent.futures.ProcessPoolExecutor),
    "apply-poolmap": (apply, poolmap.Pool),
    "apply-pool": (apply, multiprocessing.Pool),
}


def main(kind, tasks):
    run, make = KINDS[kind]
    run(make, int(tasks))


if __name__ == "__main__":
    main(*sys.argv[1:])
