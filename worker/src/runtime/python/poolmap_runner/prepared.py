"""The prepared parent: imports modules once and forks children that have them.

It runs one thread and no code of any task, so that what its children inherit is exactly what importing has made.

Its control socket carries the frames of `worker/src/slot/frame.rs` with kinds of its own. First it sends `Ready`, or
`Refused` with a text that names the module, and ends. Then it takes:

| kind | with | answer |
|---|---|---|
| `Function` = 1 | the same body as for a slot | `Ready`, or `Refused` if the source cannot be compiled |
| `Fork` = 16 | as SCM_RIGHTS of the header's bytes: where the child prints, and `count` times socket, map | see below |
| `Exit` = 4, or the end of the stream | | it ends; its children are killed |

`Function` compiles the source, for children to run. `Fork` starts a child that serves those slots, one thread each if
there are several, and is answered by `Forked` = 17 whose `sequence` is the child's process id, or by `Refused` if the
system gives no process. Answers come in the order of the requests. `Exited` = 18 comes whenever a child has ended:
`sequence` is its process id, `value` its raw wait status, `index` the most memory it ever had resident, in bytes.
A child leads a process group of its own.
"""

import array
import ctypes
import gc
import os
import select
import signal
import socket
import sys
import threading

import poolmap_runner

# `refusals` is read here for the children, too, whose first failed task needs half of what it imports.
from . import frames, functions, refusals, slot, values

_PR_SET_PDEATHSIG = 1
_MOST_DESCRIPTORS = 253  # SCM_MAX_FD of Linux.
_libc = ctypes.CDLL(None, use_errno=True)


def serve(control, names, keeps_stdout):
    """Imports the modules, then serves the control socket; never returns."""
    try:
        parent = _Parent(slot.move_up(control), keeps_stdout)
        if parent.prepare(names):
            parent.serve()
    except frames.Gone:
        pass
    except BaseException:
        sys.excepthook(*sys.exc_info())
        slot.flush_streams()
        os._exit(70)
    slot.flush_streams()
    os._exit(0)


class _Parent:
    def __init__(self, control, keeps_stdout):
        os.set_blocking(control, True)
        self._keeps_stdout = keeps_stdout
        self._control = socket.socket(fileno=control)
        self._children = set()
        self._process = os.getpid()

    def _send(self, kind, **fields):
        frames.send(self._control.fileno(), kind, **fields)

    def prepare(self, names):
        """Imports the modules and answers; returns whether all are there."""
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        for name in names:
            # Those of Python. Native pools (of OpenBLAS, say) handle a fork, or start only with the first work.
            threads = threading.active_count()
            try:
                functions.module_of(name, None, None)
            except functions.Refused as refused:
                self._send(frames.REFUSED, body=f"--preload {name}: {refused}".encode("utf-8", "backslashreplace"))
                return False
            if threading.active_count() > threads:
                _warn_of_thread(name)
        # What the modules have set is not for the children; their own defaults are.
        self._handled = [number for number in signal.valid_signals() if _is_handled(number)]
        self._wakes = _wake_on_children()
        gc.collect()
        gc.freeze()  # Collections in the children leave the shared pages alone.
        slot.flush_streams()
        self._send(frames.READY)
        return True

    def serve(self):
        while True:
            readable, _, _ = select.select([self._control, self._wakes], [], [])
            if self._wakes in readable:
                os.read(self._wakes, 4096)
                self._report_ended()
            if self._control in readable:
                self._take_request()

    def _report_ended(self):
        while self._children:
            process, status, usage = os.wait4(-1, os.WNOHANG)
            if process == 0:
                return
            if process in self._children:
                self._children.remove(process)
                self._send(frames.EXITED, sequence=process, index=usage.ru_maxrss * 1024, value=status)

    def _take_request(self):
        frame, descriptors = self._receive()
        if frame.kind == frames.EXIT:
            raise frames.Gone
        if frame.kind == frames.FUNCTION:
            self._compile(frame.body)
        elif frame.kind == frames.FORK:
            self._fork(descriptors, frame.count)

    def _receive(self):
        """A frame and the descriptors that came with its header."""
        data, descriptors = b"", array.array("i")
        while len(data) < frames.HEADER.size:
            space = socket.CMSG_SPACE(_MOST_DESCRIPTORS * descriptors.itemsize)
            try:
                now, messages, _, _ = self._control.recvmsg(frames.HEADER.size - len(data), space)
            except ConnectionError:
                raise frames.Gone from None
            if not now:
                raise frames.Gone
            data += now
            for level, kind, carried in messages:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    descriptors.frombytes(carried[: len(carried) - len(carried) % descriptors.itemsize])
        header = frames.HEADER.unpack(data)
        return frames.Frame(header, frames.read(self._control.fileno(), header[-1])), list(descriptors)

    def _compile(self, body):
        if body[:1] == b"\x80":
            return self._send(frames.READY)  # Pickled calls: nothing to compile.
        request = values.parse(str(body, "utf-8"))
        name, path, source = request["module"], request.get("path"), request.get("source")
        try:
            if source is not None:
                functions.compiled(path or f"<{name}>", source)
        except (SyntaxError, ValueError) as error:
            text = refusals.not_loaded(name, path, error)
            self._send(frames.REFUSED, body=text.encode("utf-8", "backslashreplace"))
        else:
            self._send(frames.READY)

    def _fork(self, descriptors, count):
        try:
            if len(descriptors) != 1 + 2 * count or count == 0:
                raise OSError(None, f"{len(descriptors)} descriptors came for {count} slots")
            process = os.fork()
        except OSError as error:
            self._send(frames.REFUSED, body=f"cannot fork a child: {error.strerror}".encode())
        else:
            if process == 0:
                self._be_child(descriptors)
            self._children.add(process)
            self._send(frames.FORKED, sequence=process)
        for descriptor in descriptors:
            os.close(descriptor)

    def _be_child(self, descriptors):
        """Serves slots in the child; never returns."""
        try:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != self._process:
                os._exit(0)  # The parent ended before the line above.
            os.setpgid(0, 0)
            output, *slots = descriptors
            if not self._keeps_stdout:
                os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(output)
            os.close(signal.set_wakeup_fd(-1))
            for number in self._handled:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(self._wakes)
            self._control.close()
            # `random` seeds itself after a fork; the generator behind `numpy.random.random` and its like does not.
            if "numpy.random" in sys.modules:
                sys.modules["numpy.random"].seed()
            poolmap_runner.serve_slots(list(zip(slots[::2], slots[1::2])))
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            slot.flush_streams()
            os._exit(70)


def _is_handled(number):
    return callable(signal.getsignal(number)) and signal.getsignal(number) is not signal.default_int_handler


def _wake_on_children():
    """A descriptor that becomes readable when a child has ended."""
    wakes, wake = os.pipe()
    os.set_blocking(wakes, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    return wakes


def _warn_of_thread(name):
    sys.stderr.write(
        f"poolmap: --preload {name} started a thread on import; the forked children do not have it, "
        "and may hang on a lock that it held\n"
    )
