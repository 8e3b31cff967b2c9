"""The same from JSON Lines to JSON Lines: payload_executor_json.py INPUT OUTPUT"""

import json
import sys
from concurrent.futures import ProcessPoolExecutor

from tasks import same


def main(source, target):
    with ProcessPoolExecutor(2) as pool, open(source) as lines, open(target, "w") as out:
        futures = [pool.submit(same, *json.loads(line)) for line in lines]
        for future in futures:
            out.write(json.dumps(future.result()) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
