"""A new child after every ten tasks that need numpy: python_recycling.py poolmap|forkserver|preloaded TASKS"""

import multiprocessing
import sys
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait

import poolmap

from numpy_tasks import burn


def run_poolmap(tasks):
    with poolmap.Executor(2, max_tasks_per_child=10, preload=["numpy"]) as pool:
        for future in [pool.submit(burn, 1) for _ in range(tasks)]:
            print(future.result(), flush=True)


def run_processes(tasks, preload):
    """Never more tasks than children: all at once, this pool stops for ever when it has to replace one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preload)
    running = set()
    with ProcessPoolExecutor(2, context, max_tasks_per_child=10) as pool:
        for _ in range(tasks):
            running.add(pool.submit(burn, 1))
            if len(running) == 2:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    print(future.result(), flush=True)
        for future in running:
            print(future.result(), flush=True)


def main(kind, tasks):
    if kind == "poolmap":
        run_poolmap(int(tasks))
    else:
        # What a forkserver preloads unless it is told otherwise is the program itself.
        run_processes(int(tasks), ["numpy"] if kind == "preloaded" else ["__main__"])


if __name__ == "__main__":
    main(*sys.argv[1:])
