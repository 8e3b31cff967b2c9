"""Large arguments and results of a Python program: python_large.py KIND bytes|arrays TASKS"""

import concurrent.futures
import json
import sys
import time

import numpy
import poolmap
from joblib import Parallel, delayed

from python_tasks import another, same

BYTES = 100_000
NUMBERS = 1_250_000


def chunk(place):
    """100 kB, none like another."""
    return place.to_bytes(4, "little") * (BYTES // 4)


def array(place):
    """10 MB."""
    return numpy.full(NUMBERS, float(place))


def submit(make_executor, function, arguments):
    with make_executor(2) as pool:
        futures = [pool.submit(function, argument) for argument in arguments]
        return [future.result() for future in futures]


def joblib(function, arguments):
    """With its defaults: arrays of more than a megabyte go through files in memory."""
    return Parallel(n_jobs=2)(delayed(function)(argument) for argument in arguments)


KINDS = {
    "poolmap": lambda *work: submit(poolmap.Executor, *work),
    "processes": lambda *work: submit(concurrent.futures.ProcessPoolExecutor, *work),
    "joblib": joblib,
}


def main(kind, what, tasks):
    function, make = (same, chunk) if what == "bytes" else (another, array)
    arguments = [make(place) for place in range(int(tasks))]
    start = time.monotonic()
    results = KINDS[kind](function, arguments)
    seconds = time.monotonic() - start
    for place, (argument, result) in enumerate(zip(arguments, results)):
        is_right = result == argument if what == "bytes" else (result == argument + 1).all()
        print(place if is_right else "wrong")
    megabytes = 2 * len(results) * (BYTES if what == "bytes" else 8 * NUMBERS) / 1e6
    print(json.dumps({"mb_per_s": megabytes / seconds}), file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
