"""ProcessPoolExecutor.map: uneven_executor.py INPUT OUTPUT CHUNKSIZE"""

import sys
from concurrent.futures import ProcessPoolExecutor

import calls
from tasks import burn


def main(source, target, chunksize):
    durations = calls.read(source)
    with ProcessPoolExecutor(2) as pool, calls.reporting_seconds():
        results = list(pool.map(burn, durations, chunksize=int(chunksize)))
    calls.write(target, results)


if __name__ == "__main__":
    main(*sys.argv[1:])
