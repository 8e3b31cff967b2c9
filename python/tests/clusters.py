"""Clusters of this machine, for tests."""

import os
import re
import socket
import subprocess
import sys
import threading

from conftest import eventually

# That of the wheel.
PROGRAM = os.path.join(sys.prefix, "bin", "poolmap")


class Cluster:
    """A coordinator, and workers that are added to it; all end with the `with` block."""

    def __init__(self, folder):
        self._folder = folder
        self._processes = []
        self.access = os.path.join(folder, "client.access")

    def __enter__(self):
        self.coordinator = self._start("coordinator", "--folder", self._folder, "--listen", "127.0.0.1:0")
        eventually(lambda: os.path.exists(os.path.join(self._folder, "worker.access")) and os.path.exists(self.access))
        return self

    def __exit__(self, *_):
        for process in reversed(self._processes):
            process.kill()
            process.wait()

    def _start(self, *words, **options):
        process = subprocess.Popen(
            [PROGRAM, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **options
        )
        self._processes.append(process)
        return process

    def add_worker(self, name="host", slots=1, python=sys.executable, **options):
        """Starts a worker, in a folder where nothing is that tasks could import, and waits until it has joined."""
        access = os.path.join(self._folder, "worker.access")
        folder = os.path.join(self._folder, f"at-{name}")
        os.makedirs(folder, exist_ok=True)
        words = ("--access", access, "--name", name, "--slots", str(slots), "--python", python)
        process = self._start("worker", *words, cwd=folder, **options)
        eventually(lambda: name in self.told("workers"))
        return process

    def told(self, *words):
        """What the command line prints about the cluster."""
        words = [PROGRAM, *words, "--access", self.access]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def addresses(text):
    """The line of an access file that says where the coordinator is."""
    return next(line for line in text.splitlines() if line.startswith("addresses"))


class Relay:
    """Stands between a client and a coordinator, and can break their connections."""

    def __init__(self, access, own_access):
        with open(access) as file:
            text = file.read()
        host, port = re.search(r'"(127\.0\.0\.1):(\d+)"', addresses(text)).groups()
        self._coordinator = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = []
        self.access = str(own_access)
        own = addresses(text).replace(port, str(self._listener.getsockname()[1]))
        with open(os.open(self.access, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(text.replace(addresses(text), own))

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.close()
        self.cut()

    def cut(self):
        """Breaks all connections; new ones are let through."""
        while self._open:
            try:
                self._open.pop().shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # The other end was broken first.

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            coordinator = socket.create_connection(self._coordinator)
            self._open += [client, coordinator]
            for ends in ((client, coordinator), (coordinator, client)):
                threading.Thread(target=_carry, args=ends, daemon=True).start()


def _carry(source, target):
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It was cut.
