"""Futures of tasks: those of the standard library, which can be cancelled while their task runs."""

import concurrent.futures
from concurrent.futures import InvalidStateError
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED


class Future(concurrent.futures.Future):
    """The future outcome of a task."""

    # Where the task is, for whoever cancels it.
    _track = _index = None

    def cancel(self):
        """Cancels the task unless it has ended; one that runs is stopped. Returns whether it is cancelled."""
        if not self._drop():
            return self.cancelled()
        if self._track is not None:
            self._track.cancel(self._index)
        return True

    def _drop(self):
        """Marks the future as cancelled and tells those who wait; returns whether it was not settled before."""
        with self._condition:
            if self._state in (CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED):
                return False
            super().cancel()
            self.set_running_or_notify_cancel()
        return True

    def _settle(self, value):
        try:
            self.set_result(value)
        except InvalidStateError:
            pass  # It was cancelled in the meantime.

    def _fail(self, error):
        try:
            self.set_exception(error)
        except InvalidStateError:
            pass
