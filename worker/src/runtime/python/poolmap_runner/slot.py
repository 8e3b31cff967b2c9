"""The runner's side of one slot: takes frames, runs batches, writes outcomes into the map.

The protocol, and what the pool concludes from the order of the stores below, is in `worker/src/slot/mod.rs`. The loop
in `Slot._run_plain` is what a task costs; everything that is not needed for every task happens elsewhere.
"""

import mmap
import os
import sys
from _struct import Struct
from time import monotonic_ns, perf_counter

from . import frames, functions, values

AREA_OFFSET = 4096
BEGUN, FENCE = 0, 1
WORDS_BYTES = 24

WORD_BYTES = 4
MAX_BODY_BYTES = (1 << 30) - 1
FAILED = 1 << 30
DETAILED = 1 << 31

# Descriptors that tasks may close, or count on as the next free ones, are below.
LOWEST_DESCRIPTOR = 100

_word = Struct("<I")
_details = Struct("<IId")


class Slot:
    """One slot; its methods run in one thread, except `let_go`."""

    def __init__(self, socket, shared, *, alone):
        self._socket = move_up(socket)
        os.set_blocking(self._socket, True)
        self.map = mmap.mmap(shared, 0)
        os.close(shared)
        self.map.seek(AREA_OFFSET)
        self.words = memoryview(self.map)[:WORDS_BYTES].cast("Q")
        self._alone = alone
        self._process = os.getpid()
        self._functions = {}
        # What the slot was made ready with for pickled calls.
        self._setup = None
        self._pending = []
        self._attempt = None
        self._loop = None
        self._capture = None

    def serve(self):
        """Serves frames until the pool says to exit or is gone."""
        try:
            while True:
                frame = self._pending.pop(0) if self._pending else frames.receive(self._socket)
                if frame.kind == frames.BATCH:
                    self._run_batch(frame)
                elif frame.kind == frames.FUNCTION:
                    self._load(frame)
                elif frame.kind == frames.DEFINE:
                    self._define(frame)
                elif frame.kind == frames.EXIT:
                    return
        except frames.Gone:
            pass

    def let_go(self):
        """Takes the slot away from a child that a task has forked.

        The child must not keep the pool from seeing the runner's end, and when it comes back from the task, its
        outcome must not be written: at the end of the map nothing fits, and `write_elsewhere` ends it.
        """
        os.close(self._socket)
        self.map.seek(0, os.SEEK_END)

    def _send(self, kind, **fields):
        self._leave_if_forked()
        frames.send(self._socket, kind, **fields)

    def _leave_if_forked(self, error=None):
        """Ends a child that came out of a task that was begun in another process: only that one owns the slot."""
        if os.getpid() == self._process:
            return
        code = 0
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        elif error is not None:
            sys.excepthook(type(error), error, error.__traceback__)
            code = 1
        flush_streams()
        os._exit(code & 0xFF)

    def _load(self, frame):
        try:
            function = self._loaded(frame.body)
        except functions.Refused as refused:
            text = str(refused).encode("utf-8", "backslashreplace")
            self._send(frames.REFUSED, function=frame.function, body=text)
        else:
            self._functions[frame.function] = function
            about = {"executable": sys.executable, "version": ".".join(map(str, sys.version_info[:3]))}
            self._send(frames.READY, function=frame.function, body=values.encode(about))

    def _loaded(self, body):
        if body[:1] == b"\x80":  # No JSON begins so, but every pickle.
            from . import pickled

            calls = pickled.Calls(body, is_settled=body == self._setup)
            self._setup = bytes(body)
            return calls
        request = values.parse(str(body, "utf-8"))
        if request.get("details") and self._capture is None:
            from . import details

            self._capture = details.Capture(self._alone)
        return functions.load(request)

    def _define(self, frame):
        calls = self._functions.get(frame.function)
        if calls is not None:
            calls.define(frame.index, frame.body)

    def _run_batch(self, frame):
        taken_up = monotonic_ns()
        end = frame.sequence
        function = self._functions.get(frame.function)
        if function is not None:  # Else it was refused, and the batch sent before that was known: nothing runs.
            if frame.attempt != self._attempt:
                self._attempt = frame.attempt
                os.environ["POOLMAP_ATTEMPT"] = str(frame.attempt)
            end = function.run(self, frame)
            flush_streams()
        self._send(frames.DONE, function=frame.function, sequence=end, value=monotonic_ns() - taken_up)

    def run_json(self, function, frame):
        """Runs the tasks of a batch in JSON; returns the number after the last one that ran."""
        tasks = values.parse_batch(frame.count, frame.body)
        run = self._run_detailed if function.details else self._run_plain
        return run(function, tasks, frame.sequence)

    def _run_plain(self, function, tasks, sequence):
        """Runs tasks from number `sequence` on; returns the number after the last one that ran.

        The order of these statements is the protocol. Names are local because that is what makes them fast, and the
        three commonest types of value have an encoding of their own for the same reason.
        """
        words, write = self.words, self.map.write
        call, call_with = function.call, function.call_with
        chunks, quote, pack = values.chunks, values.quote, _word.pack
        for task in tasks:
            words[BEGUN] = sequence
            if words[FENCE] <= sequence:
                break
            try:
                value = call(*task) if type(task) is list else call_with(task)
            except BaseException as error:
                record = self.failure(error)
            else:
                try:
                    kind = type(value)
                    if kind is str:
                        body = quote(value).encode()
                    elif value is None:
                        body = b"null"
                    elif kind is int:
                        body = b"%d" % value
                    else:
                        body = "".join(chunks(value, 0)).encode()
                    record = pack(len(body)) + body
                except BaseException:
                    record = None
            # Not in the handler above, whose exception would become the context of the task's own.
            if record is None:
                record = self._settle(value)
            try:
                write(record)
            except ValueError:
                self.write_elsewhere(sequence, record)
            sequence += 1
        return sequence

    def _run_detailed(self, function, tasks, sequence):
        """As `_run_plain`, with details in each record."""
        words, capture = self.words, self._capture
        for task in tasks:
            words[BEGUN] = sequence
            if words[FENCE] <= sequence:
                break
            capture.begin()
            begun = perf_counter()
            try:
                value = function.call(*task) if type(task) is list else function.call_with(task)
            except BaseException as error:
                record = self.failure(error)
            else:
                record = self._settle(value)
            seconds = perf_counter() - begun
            record = self._with_details(record, seconds, *capture.end())
            try:
                self.map.write(record)
            except ValueError:
                self.write_elsewhere(sequence, record)
            sequence += 1
        return sequence

    def _settle(self, value):
        """The record of any value: of one to be awaited, and of one that JSON cannot carry, too."""
        try:
            if hasattr(type(value), "__await__"):
                value = self.awaited(value)
            try:
                body = values.encode(value)
            except Exception as error:
                from . import failures

                raise failures.explain(value, error) from None
            return self.record(body)
        except BaseException as error:
            return self.failure(error)

    def awaited(self, awaitable):
        """What an awaitable gives, on the event loop of this slot."""
        if self._loop is None:
            from . import awaiting

            self._loop = awaiting.Loop()
        return self._loop.run(awaitable)

    def failure(self, error, pickled=b""):
        """The record of a task that raised; `pickled` is the exception itself, for those who can read it."""
        self._leave_if_forked(error)
        from . import failures

        body = failures.encode(error)
        return _failure_record(body + b"\0" + pickled if pickled else body)

    @staticmethod
    def record(body):
        """The record of a value."""
        return _word.pack(len(body)) + body if len(body) <= MAX_BODY_BYTES else _too_large(len(body))

    def _with_details(self, record, seconds, stdout, stderr):
        details = _details.pack(len(stdout), len(stderr), seconds) + stdout + stderr
        (word,) = _word.unpack_from(record)
        length = len(details) + len(record) - WORD_BYTES
        if length > MAX_BODY_BYTES:
            return self._with_details(_too_large(length), seconds, stdout, stderr)
        return _word.pack(length | word & FAILED | DETAILED) + details + record[WORD_BYTES:]

    def write_elsewhere(self, sequence, *parts):
        """Delivers a record, in one or more parts, that does not fit into what is left of the area."""
        length = sum(map(len, parts)) - WORD_BYTES
        if length > MAX_BODY_BYTES:
            parts = (_too_large(length),)
        self._send(frames.FULL, sequence=sequence)
        while True:
            frame = frames.receive(self._socket)
            if frame.kind == frames.DRAINED:
                break
            self._pending.append(frame)
        self.map.seek(AREA_OFFSET)
        if not self._has_written(parts):
            self._send(frames.LARGE, sequence=sequence, parts=parts)
            self.map.seek(AREA_OFFSET + _word.size)  # The word there says that this record is not in the area.

    def write_parts(self, sequence, parts):
        """Delivers a value whose encoding is in several parts."""
        length = sum(map(len, parts))
        parts = _word.pack(min(length, MAX_BODY_BYTES)), *parts
        if not self._has_written(parts):
            self.write_elsewhere(sequence, *parts)

    def _has_written(self, parts):
        """Writes a record if there is room for it in what is left of the area."""
        has_room = sum(map(len, parts)) <= len(self.map) - self.map.tell()
        if has_room:
            for part in parts:
                self.map.write(part)
        return has_room


def _failure_record(body):
    return _word.pack(len(body) | FAILED) + body


def _too_large(length):
    from . import failures

    text = f"the function returned a value of {length} bytes as JSON; an outcome holds {MAX_BODY_BYTES} at most"
    return _failure_record(failures.encode(ValueError(text)))


def move_up(descriptor):
    """Moves a descriptor out of the way of tasks and of the programs they start; returns its new number."""
    high = LOWEST_DESCRIPTOR
    while True:
        try:
            os.fstat(high)
        except OSError:
            break
        high += 1
    os.dup2(descriptor, high, inheritable=False)
    os.close(descriptor)
    return high


def flush_streams():
    """Writes out what was printed, whatever tasks have made of the streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
