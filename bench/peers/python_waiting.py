"""Memory of futures that wait behind two tasks which run: python_waiting.py poolmap|processes TASKS RUN

The first RUN of them run in the end, the others are cancelled."""

import concurrent.futures
import json
import os
import sys
import tempfile
import time

import poolmap

from python_tasks import wait_for_file
from tasks import do_work


def resident_bytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def settled_bytes():
    """What is resident once nothing more is on its way."""
    now = resident_bytes()
    while True:
        before, _ = now, time.sleep(0.5)
        now = resident_bytes()
        if abs(now - before) < 100_000:
            return now


def main(kind, tasks, run):
    make = {"poolmap": poolmap.Executor, "processes": concurrent.futures.ProcessPoolExecutor}[kind]
    with tempfile.TemporaryDirectory() as folder, make(2) as pool:
        gate = os.path.join(folder, "gate")
        for _ in range(2):
            pool.submit(wait_for_file, gate)
        before = settled_bytes()
        futures = [pool.submit(do_work, i, i + 1, i + 2) for i in range(int(tasks))]
        each = (settled_bytes() - before) / len(futures)
        for future in futures[int(run):]:
            future.cancel()
        open(gate, "w").close()
        for future in futures[: int(run)]:
            print(future.result())
    print(json.dumps({"bytes_per_future": each}), file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
