"""Many tiny tasks of a Python program: python_many.py KIND TASKS; results go to stdout, times to stderr.

Each KIND is a function below: what a user of that pool would write.
"""

import concurrent.futures
import json
import multiprocessing
import sys
import time

import poolmap

from tasks import do_work


def tuples(count):
    return [(i, i + 1, i + 2) for i in range(count)]


def submit(make_executor, count):
    with make_executor(2) as pool:
        futures = [pool.submit(do_work, *arguments) for arguments in tuples(count)]
        return [future.result() for future in concurrent.futures.as_completed(futures)]


def map_all(make_executor, count, **options):
    with make_executor(2) as pool:
        return list(pool.map(do_work, range(count), range(1, count + 1), range(2, count + 2), **options))


def apply_async(make_pool, count):
    with make_pool(2) as pool:
        results = [pool.apply_async(do_work, arguments) for arguments in tuples(count)]
        return [result.get() for result in results]


def starmap_async(make_pool, count):
    with make_pool(2) as pool:
        results = [pool.starmap_async(do_work, [arguments]) for arguments in tuples(count)]
        return [value for result in results for value in result.get()]


KINDS = {
    "submit-poolmap": lambda count: submit(poolmap.Executor, count),
    "submit-processes": lambda count: submit(concurrent.futures.ProcessPoolExecutor, count),
    "submit-threads": lambda count: submit(concurrent.futures.ThreadPoolExecutor, count),
    "map-poolmap": lambda count: map_all(poolmap.Executor, count),
    "map-processes": lambda count: map_all(concurrent.futures.ProcessPoolExecutor, count),
    "map-chunks": lambda count: map_all(concurrent.futures.ProcessPoolExecutor, count, chunksize=1000),
    "apply-poolmap": lambda count: apply_async(poolmap.Pool, count),
    "apply-pool": lambda count: apply_async(multiprocessing.Pool, count),
    "starmap-poolmap": lambda count: starmap_async(poolmap.Pool, count),
    "starmap-pool": lambda count: starmap_async(multiprocessing.Pool, count),
}


def main(kind, count):
    start = time.monotonic()
    results = KINDS[kind](int(count))
    seconds = time.monotonic() - start
    print("\n".join(results))
    print(json.dumps({"tasks_per_s": len(results) / seconds}), file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
