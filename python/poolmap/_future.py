"""Futures of tasks: those of the standard library, which can be cancelled while their task runs.

They make their condition when it is first asked for. Few ever need one, and it is most of what a future costs: with its lock
and its queue it is half of the memory, and two thirds of the objects that the garbage collector walks over again and again.
"""

import concurrent.futures
import threading
from concurrent.futures import InvalidStateError
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED, PENDING
from time import monotonic

_DONE = (CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED)

# Held where a condition is made, and where a future without one is settled.
_making = threading.Lock()


class Future(concurrent.futures.Future):
    """The future outcome of a task."""

    # Where the task is, for whoever cancels it.
    _track = _index = None
    _made = None

    def __init__(self):
        # All that the standard library's has but the condition.
        self._state = PENDING
        self._result = self._exception = None
        self._waiters, self._done_callbacks = [], []

    @property
    def _condition(self):
        if self._made is None:
            with _making:
                if self._made is None:
                    self._made = threading.Condition()
        return self._made

    def done(self):
        """Whether the task has ended or was cancelled."""
        return self._state in _DONE

    def cancel(self):
        """Cancels the task unless it has ended; one that runs is stopped, unless the executor has `cancel_running=False`.

        Returns whether it is cancelled.
        """
        track = self._track
        if track is not None and not track.cancels_running and self.running():
            return False
        if not self._drop():
            return self.cancelled()
        if track is not None:
            track.cancel(self._index)
        return True

    def running(self):
        """Whether the task runs, as far as this side knows: the oldest tasks do that have not ended, one for each slot."""
        track = self._track
        if track is None:
            return super().running()
        return not self.done() and track.has_begun(self._index)

    def result(self, timeout=None):
        """The value of the call, or the exception that it raised; TimeoutError if it is not there after so many seconds."""
        if self._state == FINISHED and self._exception is None:
            return self._result
        return super().result(self._wait(timeout))

    def exception(self, timeout=None):
        """The exception that the call raised, or None."""
        if self._state == FINISHED:
            return self._exception
        return super().exception(self._wait(timeout))

    def _wait(self, timeout):
        """Waits, or leaves that to the standard library; returns how long is to be waited still."""
        track = self._track
        if track is None or self._state == FINISHED:
            return timeout
        if timeout is None:
            track.wait(self, None)
            return None
        end = monotonic() + timeout
        track.wait(self, timeout)
        return max(0, end - monotonic())

    def _drop(self):
        """Marks the future as cancelled and tells those who wait; returns whether it was not settled before."""
        with self._condition:
            if self._state in _DONE:
                return False
            super().cancel()
            self.set_running_or_notify_cancel()
        return True

    def _settle(self, value):
        if self._settle_alone(value, None):
            return
        try:
            self.set_result(value)
        except InvalidStateError:
            pass  # It was cancelled in the meantime.

    def _fail(self, error):
        if self._settle_alone(None, error):
            return
        try:
            self.set_exception(error)
        except InvalidStateError:
            pass

    def _settle_alone(self, value, error):
        """Settles a future without a condition: nobody waits for it or is to be called, since both go by the condition."""
        if self._made is not None:
            return False
        with _making:
            if self._made is not None or self._state != PENDING:
                return False
            self._result, self._exception = value, error
            self._state = FINISHED
        return True
