"""A track: the tasks of an executor that share one set of options. To the pool it is one job that stays open.

A track that its executor has retired goes on for those who hold it, and ends when nobody does.
"""

import functools

from ._calls import Calls
from ._future import Future


class Track:
    """Appends calls to a job."""

    def __init__(self, job, cancels_running, retire):
        self._job = job
        self.cancels_running = cancels_running
        self.calls = Calls(job, retire)

    def submit(self, function, arguments, keywords):
        """Appends a call and returns its future."""
        future = Future()
        try:
            number = self.calls.number(function)
            payload = self.calls.carried(function, arguments, keywords) if number is None else None
        except Exception as error:  # It has no pickle, which is this task's own failure.
            future.set_exception(error)
            return future
        if number is None:
            future._index = self._job.submit_payload(payload, future)
        else:
            future._index = self._job.submit(function, number, arguments, keywords, future)
        future._track = self
        return future

    def results(self, function, is_ordered=True):
        """An iterator over results of calls, and a function that adds calls with these tuples of arguments to it."""
        number = self.calls.number_at_once(function)
        results = self._job.results(is_ordered)
        return results, functools.partial(self._extend, results, function, number)

    def _extend(self, results, function, number, tuples):
        # A method, so that who may still add calls holds the track.
        results.extend(function, number, tuples)

    def has_begun(self, index):
        """Whether a task counts as begun."""
        return index is not None and self._job.has_begun(index)

    def wait(self, future, timeout):
        """Waits for a future of this track if that is shorter than its own way to wait."""
        self._job.wait(future, timeout)

    def cancel(self, index):
        """Stops a task, whose future is cancelled."""
        if index is not None:
            self._job.cancel_task(index)

    def close(self, cancel=False):
        """No call follows; `cancel`: what has not begun never will."""
        self._job.close(cancel)
