"""A long input read lazily: queue_imap.py OUTPUT, tuples as JSON Lines on stdin"""

import json
import multiprocessing
import sys

from tasks import do_work


def call(line):
    return do_work(*json.loads(line))


def main(target):
    with multiprocessing.Pool(2) as pool, open(target, "w") as out:
        for result in pool.imap(call, sys.stdin, chunksize=1000):
            out.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
