"""The first program of the README: four tuples, an executor, no guard."""

import concurrent.futures

import poolmap

from tasks import do_work

with poolmap.Executor(2) as pool:
    tuples = [(2, 4, 5), (2, 5, 0), (3, 8, 0), (3, 8, 1)]
    for future in concurrent.futures.as_completed([pool.submit(do_work, *t) for t in tuples]):
        print(future.result())
