"""Dask with two worker processes of one thread: cluster_dask.py COUNT OUTPUT"""

import sys

import calls
import dask
from clusters import Clock, tuples
from distributed import Client, LocalCluster
from tasks import do_work

CLUSTER = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
# All tasks to the workers at once, which makes tiny ones three times as fast as the default.
CONFIG = {"distributed.scheduler.worker-saturation": float("inf")}


def main(count, target):
    work = tuples(int(count))
    clock = Clock()
    with dask.config.set(CONFIG), LocalCluster(**CLUSTER) as cluster, Client(cluster) as client:
        clock.up()
        results = client.gather(client.map(do_work, *zip(*work), pure=False))
        clock.done(len(work))
    calls.write(target, results)
    clock.tell()


if __name__ == "__main__":
    main(*sys.argv[1:])
