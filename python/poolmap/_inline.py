"""The backend "inline": calls run where they are submitted, in the thread that submits them."""

from ._future import Future


class InlineTrack:
    """Runs calls at once."""

    def __init__(self, options, initializer, initargs):
        self._tries = 1 + options[1]
        self._is_closed = False
        if initializer is not None:
            initializer(*initargs)

    def submit(self, function, arguments, keywords):
        """Runs a call and returns its future, which is done."""
        self._check()
        future = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(self._run(function, arguments, keywords))
        except BaseException as error:
            future.set_exception(error)
            if not isinstance(error, Exception):
                raise
        return future

    def results(self, function, is_ordered=True):
        """As `Track.results`: each call runs when its result is asked for."""
        self._check()
        results = _Results(lambda arguments: self._run(function, arguments, {}))
        return results, results.extend

    def close(self, cancel=False):
        """No call follows."""
        self._is_closed = True

    def _check(self):
        if self._is_closed:
            from ._executor import refused

            raise refused(None)

    def _run(self, function, arguments, keywords):
        for _ in range(self._tries - 1):
            try:
                return function(*arguments, **keywords)
            except Exception:
                pass
        return function(*arguments, **keywords)


class _Results:
    def __init__(self, run):
        self._run = run
        self._tuples = []
        self._next = 0
        self._count = self._call = None

    def extend(self, tuples):
        self._tuples.extend(tuples)
        if len(self._tuples) == self._count:
            self._call()

    def when_complete(self, count, call):
        self._count, self._call = count, call

    def close(self):
        self._next = len(self._tuples)

    def set_timeout(self, seconds, exception):
        """A call that runs here cannot be stopped."""

    def __len__(self):
        return len(self._tuples) - self._next

    def __iter__(self):
        return self

    def __next__(self):
        if self._next == len(self._tuples):
            raise StopIteration
        self._next += 1
        return self._run(self._tuples[self._next - 1])
