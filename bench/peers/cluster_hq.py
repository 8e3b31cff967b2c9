"""HyperQueue's program with two workers of one core, `true` as a task array: cluster_hq.py HQ COUNT"""

import os
import subprocess
import sys
import tempfile

from clusters import Clock


def main(hq, count):
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HQ_SERVER_DIR"] = folder
        quietly = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        clock = Clock()
        services = [subprocess.Popen([hq, "server", "start"], **quietly)]
        while not os.path.exists(f"{folder}/hq-current/access.json"):
            pass
        try:
            services += [subprocess.Popen([hq, "worker", "start", "--cpus=1"], **quietly) for _ in range(2)]
            subprocess.run([hq, "worker", "wait", "2"], check=True, **quietly)
            clock.up()
            job = ["--array", f"1-{count}", "--stdout=none", "--stderr=none", "--wait", "--", "/bin/true"]
            subprocess.run([hq, "submit", *job], check=True, **quietly)
            clock.done(int(count))
        finally:
            subprocess.run([hq, "server", "stop"], check=True, **quietly)
            for service in services:
                service.wait()
    clock.tell()


if __name__ == "__main__":
    main(*sys.argv[1:])
