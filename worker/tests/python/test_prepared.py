"""The prepared parent: what it imports, forks, reports and leaves behind."""

import json
import os
import signal
import tempfile
import unittest
from functools import partial
from pathlib import Path

from pool_side import (
    EXIT,
    EXITED,
    FORK,
    FORKED,
    FUNCTION,
    READY,
    REFUSED,
    Runner,
    Slot,
    eventually,
)

WHO = """
import os, sys
loaded = "decimal" in sys.modules
import heavy
def f(): return [os.getpid(), os.getpgrp(), heavy.pid, loaded]
"""


def has_ended(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Prepared(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.output = self.file()

    def file(self):
        """Something that a child can print to."""
        file = tempfile.TemporaryFile()
        self.addCleanup(file.close)
        return file

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def start(self, modules):
        runner = Runner(prepared=modules, cwd=self.folder)
        self.addCleanup(runner.__exit__)
        return runner, runner.wires[0]

    def fork(self, control, slots=1, output=None):
        """Asks for a child; returns its process id and the slots it serves."""
        made = [Slot() for _ in range(slots)]
        descriptors = [number for slot in made for number in (slot.other.fileno(), slot.memfd)]
        control.send(FORK, count=slots, descriptors=[(output or self.output).fileno(), *descriptors])
        process = control.receive(FORKED).sequence
        for slot in made:
            slot.other.close()
            self.addCleanup(slot.close)
        return process, made

    def test_children_have_the_modules_and_run_tasks(self):
        self.write("heavy.py", "import os\npid = os.getpid()")
        runner, control = self.start("heavy,decimal")
        control.receive(READY)
        children = [self.fork(control) for _ in range(3)]
        for process, (slot,) in children:
            slot.load(source=WHO)
            self.assertEqual(slot.run_one().value, [process, process, runner.process.pid, True])
            slot.send(EXIT)
        ended = [control.receive(EXITED) for _ in children]
        self.assertEqual({frame.sequence for frame in ended}, {process for process, _ in children})
        self.assertEqual({frame.value for frame in ended}, {0})

    def test_a_child_can_have_several_slots(self):
        _, control = self.start("decimal")
        control.receive(READY)
        process, slots = self.fork(control, 3)
        for slot in slots:
            slot.load(source="import os\ndef f(): return os.getpid()")
        self.assertEqual({slot.run_one().value for slot in slots}, {process})

    def test_the_wait_status_of_a_child_that_was_killed_is_reported(self):
        _, control = self.start("decimal")
        control.receive(READY)
        process, _ = self.fork(control)
        os.kill(process, signal.SIGKILL)
        frame = control.receive(EXITED)
        self.assertEqual((frame.sequence, frame.value), (process, signal.SIGKILL))
        process, (slot,) = self.fork(control)
        slot.load(source="import os\ndef f(): os._exit(5)")
        slot.batch([[]])
        frame = control.receive(EXITED)
        self.assertEqual((frame.sequence, os.WEXITSTATUS(frame.value)), (process, 5))

    def test_each_child_prints_where_its_request_says(self):
        self.write("prints.py", "print('by the parent')")
        runner, control = self.start("prints")
        control.receive(READY)
        source = """
import os, subprocess, sys
def f(x):
    print(x)
    print(x, file=sys.stderr)
    subprocess.run(["echo", x])
    os.write(1, b"end\\n")
"""
        for word in ("one", "two"):
            output = self.file()
            _, (slot,) = self.fork(control, output=output)
            slot.load(source=source)
            slot.run_one(word)
            self.assertEqual(os.pread(output.fileno(), 1 << 10, 0).decode(), f"{word}\n" * 3 + "end\n")
        self.assertEqual(runner.printed(), "by the parent\n")

    def test_the_peak_memory_of_a_child_is_reported(self):
        _, control = self.start("decimal")
        control.receive(READY)
        _, (slot,) = self.fork(control)
        slot.load(source="def f(): return len(bytearray(100 << 20))")
        slot.run_one()
        slot.send(EXIT)
        self.assertIn(control.receive(EXITED).index, range(100 << 20, 200 << 20))

    def test_a_module_that_fails_is_named(self):
        self.write("bad.py", "x = 1\nraise ValueError('no')")
        for modules, words in {
            "decimal,no_such": ["--preload no_such: there is no module 'no_such'"],
            "bad": ["--preload bad: module 'bad' cannot be imported; it raised ValueError: no", "line 2"],
        }.items():
            runner, control = self.start(modules)
            text = control.receive(REFUSED).body.decode()
            for word in words:
                self.assertIn(word, text)
            self.assertEqual(runner.process.wait(10), 0)

    def test_the_parent_ends_with_its_control_socket_and_its_children_with_it(self):
        for end in ("close", "exit", "kill"):
            runner, control = self.start("decimal")
            control.receive(READY)
            process, (slot,) = self.fork(control)
            slot.load(source="import time\ndef f(): time.sleep(60)")
            slot.batch([[]])
            if end == "exit":
                control.send(EXIT)
            elif end == "close":
                control.close()
            else:
                runner.process.kill()
            runner.process.wait(10)
            self.assertTrue(slot.has_ended())
            eventually(partial(has_ended, process))

    def test_a_source_is_compiled_once_and_run_in_each_child(self):
        _, control = self.start("decimal")
        control.receive(READY)
        source = "import os\nhere = os.getpid()\ndef f(): return here == os.getpid()"
        path = str(self.folder / "job.py")
        request = {"module": "job", "name": "f", "path": path, "source": source}
        control.send(FUNCTION, body=json.dumps(request).encode())
        control.receive(READY)
        for _ in range(2):
            _, (slot,) = self.fork(control)
            slot.load(source=source, path=path)
            self.assertTrue(slot.run_one().value)
        request["source"] = "def f(:"
        control.send(FUNCTION, body=json.dumps(request).encode())
        self.assertIn("job.py, line 1", control.receive(REFUSED).body.decode())

    def test_children_are_seeded_and_handle_signals_on_their_own(self):
        self.write("sets.py", "import random, signal\nrandom.seed(1)\nsignal.signal(signal.SIGTERM, lambda *_: None)")
        _, control = self.start("sets")
        control.receive(READY)
        source = """
from random import random
from signal import SIGCHLD, SIGTERM, getsignal
def f(): return [random(), getsignal(SIGTERM), getsignal(SIGCHLD)]
"""
        seen = []
        for _ in range(2):
            process, (slot,) = self.fork(control)
            slot.load(source=source)
            seen.append(slot.run_one().value)
        self.assertNotEqual(seen[0][0], seen[1][0])
        self.assertEqual(seen[0][1:], [0, 0])
        os.kill(process, signal.SIGTERM)
        self.assertEqual(control.receive(EXITED).value, signal.SIGTERM)

    def test_numpys_generator_is_seeded_anew(self):
        try:
            import numpy  # noqa: F401
        except ImportError:
            self.skipTest("this interpreter has no numpy")
        _, control = self.start("numpy")
        control.receive(READY)
        seen = set()
        for _ in range(2):
            _, (slot,) = self.fork(control)
            slot.load(source="import numpy\ndef f(): return numpy.random.random()")
            seen.add(slot.run_one().value)
        self.assertEqual(len(seen), 2)

    def test_a_module_that_starts_threads_is_warned_of(self):
        starts = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
        self.write("starts.py", starts)
        runner, control = self.start("decimal,starts")
        control.receive(READY)
        self.assertRegex(runner.printed(), r"^poolmap: --preload starts started a thread on import.*\n$")

    def test_a_fork_without_its_descriptors_is_refused(self):
        _, control = self.start("decimal")
        control.receive(READY)
        control.send(FORK, count=1)
        self.assertIn("0 descriptors came for 1 slots", control.receive(REFUSED).body.decode())
        self.fork(control)

    def test_the_parent_keeps_none_of_its_childrens_descriptors(self):
        runner, control = self.start("decimal")
        control.receive(READY)

        def open_descriptors():
            return len(os.listdir(f"/proc/{runner.process.pid}/fd"))

        before = open_descriptors()
        for _ in range(3):
            process, (slot,) = self.fork(control)
            slot.close()
            self.assertEqual(control.receive(EXITED).sequence, process)
        self.assertEqual(open_descriptors(), before)


if __name__ == "__main__":
    unittest.main()
