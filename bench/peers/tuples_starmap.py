"""JSON Lines to JSON Lines with Pool.starmap: tuples_starmap.py INPUT OUTPUT"""

import json
import multiprocessing
import sys

from tasks import do_work


def main(source, target):
    with open(source) as lines:
        tuples = [json.loads(line) for line in lines]
    with multiprocessing.Pool(2) as pool:
        results = pool.starmap(do_work, tuples)
    with open(target, "w") as out:
        for result in results:
            out.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
