"""JSON Lines to JSON Lines, one plain loop: tuples_loop.py INPUT OUTPUT"""

import json
import sys

from tasks import do_work


def main(source, target):
    with open(source) as lines, open(target, "w") as out:
        for line in lines:
            out.write(json.dumps(do_work(*json.loads(line))) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
