"""100 kB of bytes in and out, made and dropped in memory, no file: payload_executor.py TASKS"""

import sys
from concurrent.futures import ProcessPoolExecutor

import calls
from tasks import same


def main(tasks):
    payload = b"x" * 100_000
    with ProcessPoolExecutor(2) as pool, calls.reporting_seconds():
        futures = [pool.submit(same, payload) for _ in range(int(tasks))]
        for future in futures:
            print(len(future.result()))


if __name__ == "__main__":
    main(*sys.argv[1:])
