"""What the children of these tests run."""

import os
import signal
import stat
import sys

calls = 0


def echo(value):
    return value


def pid():
    return os.getpid()


def count():
    """How many tasks this child has run."""
    global calls
    calls += 1
    return [os.getpid(), calls]


def loaded(module):
    return module in sys.modules


def prints(text):
    print(text)
    print(text.upper(), file=sys.stderr)
    return len(text)


def fails(text):
    raise ValueError(text)


def large(size):
    return "x" * size


def grow(size):
    """Makes this child larger for good."""
    global hoard
    hoard = b"x" * size
    return os.getpid()


def mark(folder, name):
    """Leaves a mark in the folder; a second one of the same name is an error."""
    os.close(os.open(os.path.join(folder, name), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    return name


def block(folder, name):
    """Tells its process, then runs until the pipe in the folder is opened by whoever lets it go on."""
    path = os.path.join(folder, name)
    with open(path + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".new", path)
    with open(os.path.join(folder, "pipe")) as pipe:
        pipe.read()
    return name


def die(signal_number):
    os.kill(os.getpid(), signal_number)


def leave(status):
    os._exit(status)


def leave_process_behind(folder):
    """Starts a process that never ends, and tells which."""
    child = os.fork()
    if child == 0:
        os.execvp("sleep", ["sleep", "1000"])
    return child


def send(text):
    """Writes bytes on the slot's socket, then waits for ever."""
    os.write(_socket(), bytes.fromhex(text))
    signal.pause()


def send_and_go_on(text):
    os.write(_socket(), bytes.fromhex(text))
    return "went on"


def flood(text):
    """Writes the same frame again and again, and reads nothing."""
    frames = bytes.fromhex(text) * 1000
    while True:
        os.write(_socket(), frames)


def scribble(byte):
    """Overwrites the slot's map, then waits for ever."""
    slot = _slot()
    slot.map[:] = bytes([byte]) * len(slot.map)
    signal.pause()


def leave_after_large(size):
    """Returns a value that travels in a frame of its own, after which the child is gone."""
    slot = _slot()
    send = slot._send

    def send_and_leave(kind, **fields):
        send(kind, **fields)
        if "body" in fields:
            os._exit(5)

    slot._send = send_and_leave
    return "x" * size


def hang_up():
    """Closes the slot's socket, then waits for ever."""
    os.close(_socket())
    signal.pause()


def _socket():
    for descriptor in range(100, 200):
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                return descriptor
        except OSError:
            pass
    raise LookupError("there is no socket")


def _slot():
    frame = sys._getframe()
    while not hasattr(frame.f_locals.get("self"), "map"):
        frame = frame.f_back
    return frame.f_locals["self"]
