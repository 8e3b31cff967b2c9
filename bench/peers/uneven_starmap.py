"""Pool.starmap with the chunks it chooses itself: uneven_starmap.py INPUT OUTPUT"""

import multiprocessing
import sys

import calls
from tasks import burn


def main(source, target):
    durations = [(duration,) for duration in calls.read(source)]
    with multiprocessing.Pool(2) as pool, calls.reporting_seconds():
        results = pool.starmap(burn, durations)
    calls.write(target, results)


if __name__ == "__main__":
    main(*sys.argv[1:])
