"""Ray with two workers and without its dashboard: cluster_ray.py tasks|pool COUNT OUTPUT"""

import os
import sys
import tempfile
import time

import calls
from clusters import Clock, tuples
from tasks import do_work

# Read when it is imported. No usage statistics; and no token, which would cost time and be written to the home folder.
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}

import ray
from ray.util.multiprocessing import Pool

CLUSTER = {"num_cpus": 2, "include_dashboard": False, "log_to_driver": False, "_node_ip_address": "127.0.0.1"}


def start_workers():
    """Both have started when two tasks have run at once."""
    nap = ray.remote(lambda: time.sleep(0.5))
    ray.get([nap.remote(), nap.remote()])


def one_by_one(work):
    remote = ray.remote(do_work)
    return lambda: ray.get([remote.remote(*task) for task in work])


def in_chunks(work):
    pool = Pool(2)
    return lambda: pool.starmap(do_work, work)


def main(how, count, target):
    work = tuples(int(count))
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        ray.init(**CLUSTER, _temp_dir=folder)
        start_workers()
        job = one_by_one(work) if how == "tasks" else in_chunks(work)
        clock.up()
        results = job()
        clock.done(len(work))
        ray.shutdown()
    calls.write(target, results)
    clock.tell()


if __name__ == "__main__":
    main(*sys.argv[1:])
