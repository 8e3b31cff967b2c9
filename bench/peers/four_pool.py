"""Four tuples with a Pool of two forked children."""

import multiprocessing

from tasks import do_work

if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for result in pool.starmap(do_work, [(2, 4, 5), (2, 5, 0), (3, 8, 0), (3, 8, 1)]):
            print(result)
