"""The same with the standard library's executor, whose children must not be forked where there are threads."""

import concurrent.futures
import multiprocessing

from tasks import do_work

if __name__ == "__main__":
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        tuples = [(2, 4, 5), (2, 5, 0), (3, 8, 0), (3, 8, 1)]
        for future in concurrent.futures.as_completed([pool.submit(do_work, *t) for t in tuples]):
            print(future.result())
