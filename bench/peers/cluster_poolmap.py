"""`poolmap submit`, the whole command, to a cluster of two workers over TLS: cluster_poolmap.py POOLMAP PYTHON COUNT WORD..."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from clusters import Clock

CLUSTER = """\
[coordinator]
listen = "127.0.0.1:0"

[[workers]]
launcher = "local"
count = 2
slots = 1
python = "{python}"
"""


def main(poolmap, python, count, *words):
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        cluster = Path(folder, "bench.toml")
        cluster.write_text(CLUSTER.format(python=python))
        clock = Clock()
        subprocess.run([poolmap, "cluster", "up", cluster], check=True, stdout=subprocess.DEVNULL)
        clock.up()
        try:
            subprocess.run([poolmap, "submit", *words], check=True)
            clock.done(int(count))
        finally:
            subprocess.run([poolmap, "cluster", "down", cluster], check=True, stdout=subprocess.DEVNULL)
    clock.tell()


if __name__ == "__main__":
    main(*sys.argv[1:])
