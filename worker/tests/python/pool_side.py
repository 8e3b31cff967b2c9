"""The pool's side of the slot protocol, for the tests: real runner processes, sockets and memfds."""

import array
import json
import mmap
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

RUNNER = Path(__file__).resolve().parents[2] / "src/runtime/python/runner.py"

FUNCTION, BATCH, DRAINED, EXIT, READY, REFUSED, DONE, FULL, LARGE = range(1, 10)
FORK, FORKED, EXITED = 16, 17, 18

AREA_OFFSET, AREA_BYTES = 4096, 1 << 20
NO_FENCE = (1 << 64) - 1
HEADER = struct.Struct("<IIIIQQQQ")
PATIENCE_SECONDS = 10


def eventually(holds):
    """Waits until a condition holds and returns what it gave."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        result = holds()
        if result:
            return result
        time.sleep(0.002)
    raise AssertionError("what was waited for did not happen")


class Frame:
    """A frame from the runner."""

    def __init__(self, header, body):
        self.kind, self.function, self.count, self.attempt, self.sequence, self.index, self.value, _ = header
        self.body = body


class Wire:
    """The pool's end of a socket."""

    def __init__(self):
        self.socket, self.other = socket.socketpair()
        self.socket.settimeout(PATIENCE_SECONDS)

    def send(self, kind, *, function=0, count=0, attempt=0, sequence=0, value=0, body=b"", descriptors=()):
        header = HEADER.pack(kind, function, count, attempt, sequence, 0, value, len(body))
        carried = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        self.socket.sendmsg([header], carried)
        if body:
            self.socket.sendall(body)

    def receive(self, kind=None):
        header = HEADER.unpack(self._exactly(HEADER.size))
        frame = Frame(header, self._exactly(header[-1]))
        if kind is not None and frame.kind != kind:
            raise AssertionError(f"kind {frame.kind} came for {kind}: {bytes(frame.body[:500])!r}")
        return frame

    def is_silent(self):
        return not select.select([self.socket], [], [], 0)[0]

    def has_ended(self):
        """Whether the other end is closed; waits for it."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:  # It went with frames unread.
            return True

    def _exactly(self, size):
        data = bytearray()
        while len(data) < size:
            now = self.socket.recv(min(size - len(data), 1 << 20))
            if not now:
                raise EOFError("the runner is gone")
            data += now
        return bytes(data)

    def close(self):
        self.socket.close()
        self.other.close()


class Record:
    """An outcome record."""

    def __init__(self, word, body):
        self.failed, self.detailed = bool(word & 1 << 30), bool(word & 1 << 31)
        self.stdout = self.stderr = self.seconds = None
        if self.detailed:
            out, err, self.seconds = struct.unpack_from("<IId", body)
            self.stdout, self.stderr = body[16 : 16 + out], body[16 + out : 16 + out + err]
            body = body[16 + out + err :]
        self.body = body

    @classmethod
    def of(cls, data):
        return cls(int.from_bytes(data[:4], "little"), data[4:])

    @property
    def value(self):
        if self.failed:
            raise AssertionError(f"the task failed: {self.body.decode()}")
        return json.loads(self.body)

    @property
    def failure(self):
        if not self.failed:
            raise AssertionError(f"the task has a value: {self.body.decode()}")
        failure = json.loads(self.body)
        assert set(failure) <= {"kind", "type", "message", "traceback"}, failure
        assert failure["kind"] == "exception"
        self.body.decode("utf-8").encode("utf-8")
        return failure


class Slot(Wire):
    """The pool's end of one slot."""

    def __init__(self):
        super().__init__()
        self.memfd = os.memfd_create("slot")
        os.ftruncate(self.memfd, AREA_OFFSET + AREA_BYTES)
        self.map = mmap.mmap(self.memfd, 0)
        self.words = memoryview(self.map)[:24].cast("Q")
        self.words[1] = NO_FENCE
        self.next = 1
        self.offset = AREA_OFFSET
        self.functions = 0

    @property
    def begun(self):
        return self.words[0]

    def set_fence(self, sequence):
        self.words[1] = sequence

    def pair(self):
        return f"{self.other.fileno()}:{self.memfd}"

    def ask(self, name="f", source=None, *, module="job", path=None, details=False):
        """Asks for a function; returns its number."""
        self.functions += 1
        request = {"module": module, "name": name, "path": path, "source": source, "details": details}
        self.send(FUNCTION, function=self.functions, body=json.dumps(request).encode())
        return self.functions

    def load(self, name="f", source=None, **fields):
        number = self.ask(name, source, **fields)
        frame = self.receive(READY)
        assert frame.function == number
        return number

    def refusal(self, name="f", source=None, **fields):
        """The text with which a function is refused."""
        self.ask(name, source, **fields)
        return self.receive(REFUSED).body.decode()

    def batch(self, tasks, *, function=None, attempt=1):
        """Sends a batch of tasks (values, or bytes as they are); returns the number of the first."""
        payloads = [task if isinstance(task, bytes) else json.dumps(task).encode() for task in tasks]
        lengths = struct.pack(f"<{len(payloads)}I", *map(len, payloads))
        first, self.next = self.next, self.next + len(payloads)
        self.send(
            BATCH, function=function or self.functions, count=len(payloads), attempt=attempt,
            sequence=first, body=lengths + b",".join(payloads),
        )
        return first

    def read(self, count):
        """The next records of the area."""
        return [self._read_one() for _ in range(count)]

    def _read_one(self):
        (word,) = struct.unpack_from("<I", self.map, self.offset)
        begin = self.offset + 4
        self.offset = begin + (word & (1 << 30) - 1)
        return Record(word, self.map[begin : self.offset])

    def receive(self, kind=None):
        frame = super().receive(kind)
        if frame.kind == LARGE:
            self.offset = AREA_OFFSET + 4  # Behind the word that stands for its record.
        return frame

    def drained(self):
        self.offset = AREA_OFFSET
        self.send(DRAINED)

    def run(self, tasks, **fields):
        """Runs a batch; returns its records."""
        first = self.batch(tasks, **fields)
        records = []
        while True:
            frame = self.receive()
            if frame.kind == LARGE:
                records.append(Record.of(frame.body))
                continue
            records += self.read(frame.sequence - first - len(records))
            if frame.kind == DONE:
                break
            assert frame.kind == FULL, frame.kind
            self.drained()
        assert frame.sequence == self.next, (frame.sequence, self.next)
        assert frame.value > 0
        return records

    def run_one(self, *arguments):
        (record,) = self.run([list(arguments)])
        return record


class Runner:
    """A runner process with its slots; leaves nothing behind."""

    def __init__(self, slots=1, *, prepared=None, cwd=None, env=(), options=(), leading=()):
        self.wires = [Slot() for _ in range(slots)] if prepared is None else [Wire()]
        self.stderr = tempfile.TemporaryFile()
        if prepared is None:
            arguments = [",".join(slot.pair() for slot in self.wires)]
            passed = [number for slot in self.wires for number in (slot.other.fileno(), slot.memfd)]
        else:
            passed = [self.wires[0].other.fileno()]
            arguments = ["--prepared", str(passed[0]), prepared]
        self.process = subprocess.Popen(
            [sys.executable, *options, str(RUNNER), *leading, *arguments],
            pass_fds=passed, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.stderr,
            cwd=cwd, env={**os.environ, **dict(env)},
        )
        for wire in self.wires:
            wire.other.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.stderr.close()
        for wire in self.wires:
            wire.close()

    @property
    def slot(self):
        return self.wires[0]

    def printed(self):
        """What reached standard error so far."""
        return os.pread(self.stderr.fileno(), 1 << 20, 0).decode()

    def end(self):
        """Asks all slots to exit; returns the exit status and what was written to the first stdout descriptor."""
        for wire in self.wires:
            wire.send(EXIT)
        status = self.process.wait(PATIENCE_SECONDS)
        return status, self.process.stdout.read()


class WithRunner(unittest.TestCase):
    """Tests with a runner each."""

    def setUp(self):
        self.runner = Runner()
        self.addCleanup(self.runner.__exit__)
        self.slot = self.runner.slot

    def failure(self, source, *arguments, **fields):
        self.slot.load(source=source, **fields)
        return self.slot.run_one(*arguments).failure
