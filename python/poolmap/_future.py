"""Futures of tasks: those of the standard library, which can be cancelled while their task runs."""

import concurrent.futures
from concurrent.futures import InvalidStateError
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED


class Future(concurrent.futures.Future):
    """The future outcome of a task."""

    # Where the task is, for whoever cancels it.
    _track = _index = None

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
