"""joblib with its default backend and batches: uneven_joblib.py INPUT OUTPUT"""

import sys

from joblib import Parallel, delayed

import calls
from tasks import burn


def main(source, target):
    durations = calls.read(source)
    with calls.reporting_seconds():
        results = Parallel(n_jobs=2)(delayed(burn)(duration) for duration in durations)
    calls.write(target, results)


if __name__ == "__main__":
    main(*sys.argv[1:])
