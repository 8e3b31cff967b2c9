"""One task at a time, each waited for: latency.py executor|pool TASKS"""

import json
import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tasks import do_work


def measure(call, tasks):
    for i in range(100):
        call(i)
    micros = []
    for i in range(tasks):
        start = time.perf_counter_ns()
        result = call(i)
        micros.append((time.perf_counter_ns() - start) / 1e3)
        print(result)
    cuts = statistics.quantiles(micros, n=100, method="inclusive")
    print(json.dumps({"p50_us": cuts[49], "p99_us": cuts[98]}), file=sys.stderr)


def main(kind, tasks):
    if kind == "executor":
        with ProcessPoolExecutor(2) as pool:
            measure(lambda i: pool.submit(do_work, i, i + 1, i + 2).result(), int(tasks))
    else:
        with multiprocessing.Pool(2) as pool:
            measure(lambda i: pool.apply(do_work, (i, i + 1, i + 2)), int(tasks))


if __name__ == "__main__":
    main(*sys.argv[1:])
