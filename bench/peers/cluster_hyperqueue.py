"""HyperQueue with two workers of one core: cluster_hyperqueue.py function|command COUNT OUTPUT

Its functions return nothing: what each prints is a file.
"""

import os
import sys
import tempfile
from pathlib import Path

import calls
from clusters import Clock, tuples
from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig
from hyperqueue.task.function import PythonEnv
from tasks import do_work

HERE = os.path.dirname(os.path.abspath(__file__))


def print_work(a, b, c):
    print(do_work(a, b, c))


def functions(work, folder):
    job = Job(folder, default_env={"PYTHONPATH": HERE})
    for index, task in enumerate(work):
        job.function(print_work, args=task, stdout=f"{folder}/{index}.out", stderr=None)
    return job


def commands(work, folder):
    job = Job(folder)
    for _ in work:
        job.program(["/bin/true"], stdout=None, stderr=None)
    return job


def main(how, count, target):
    work = tuples(int(count))
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        with LocalCluster(folder) as cluster:
            for _ in range(2):
                cluster.start_worker(WorkerConfig(cores=1))
            client = cluster.client(python_env=PythonEnv(sys.executable))
            clock.up()
            job = functions(work, folder) if how == "function" else commands(work, folder)
            client.wait_for_jobs([client.submit(job)])
            clock.done(len(work))
        if how == "function":
            prints = [Path(folder, f"{index}.out") for index in range(len(work))]
            calls.write(target, [path.read_text().strip() for path in prints])
    clock.tell()


if __name__ == "__main__":
    main(*sys.argv[1:])
