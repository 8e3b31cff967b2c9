"""`poolmap.Pool`: the methods of `multiprocessing.Pool`, on an executor."""

import concurrent.futures
import threading
from multiprocessing import TimeoutError

from ._executor import Executor


class Pool:
    """A pool of processes with the methods of `multiprocessing.Pool`.

    `processes` is the number of tasks that run at once; `maxtasksperchild` replaces a process after so many tasks. All other
    options are those of `Executor`. Tasks travel in batches by themselves, so every `chunksize` is accepted and not needed.
    """

    def __init__(self, processes=None, initializer=None, initargs=(), maxtasksperchild=None, **options):
        if isinstance(processes, int) and processes < 1:
            raise ValueError("Number of processes must be at least 1")
        self._executor = Executor(processes, maxtasksperchild, initializer, initargs, **options)
        self._is_open = True

    def apply(self, func, args=(), kwds={}):
        """The value of `func(*args, **kwds)`."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(self, func, args=(), kwds={}, callback=None, error_callback=None):
        """Runs `func(*args, **kwds)`; `callback` gets its value, or `error_callback` its exception, in another thread."""
        self._check_open()
        return _result(self._executor.submit(func, *args, **kwds), _same, callback, error_callback)

    def map(self, func, iterable, chunksize=None):
        """The values of `func(item)`, in a list; raises the first exception."""
        return self.starmap(func, zip(iterable), chunksize)

    def starmap(self, func, iterable, chunksize=None):
        """The values of `func(*tuple)`, in a list; raises the first exception."""
        self._check_open()
        return _values_of(self._results(func, iterable))

    def map_async(self, func, iterable, chunksize=None, callback=None, error_callback=None):
        """As `map`, at once with a result to come; `callback` gets the list."""
        return self.starmap_async(func, zip(iterable), chunksize, callback, error_callback)

    def starmap_async(self, func, iterable, chunksize=None, callback=None, error_callback=None):
        """As `starmap`, at once with a result to come; `callback` gets the list."""
        self._check_open()
        tuples = list(iterable)
        if len(tuples) == 1:  # Results of a list travel by themselves; those of single calls together.
            return _result(self._executor.submit(func, *tuples[0]), _in_list, callback, error_callback)
        result = AsyncResult(callback, error_callback)
        if not tuples:
            result._settle([], None)
            return result
        results, add = self._executor._track().results(func)
        results.when_complete(len(tuples), lambda: result._take(lambda: _values_of(results)))
        try:
            add(tuples)
        except Exception as error:  # One of them has no pickle, so the list will not be whole.
            results.close()
            result._settle(None, error)
        return result

    def imap(self, func, iterable, chunksize=1):
        """An iterator over the values of `func(item)` in the order of the items. Its `next` takes a time-out in seconds."""
        self._check_open()
        return _Values(self._results(func, zip(iterable)))

    def imap_unordered(self, func, iterable, chunksize=1):
        """As `imap`, in the order of completion."""
        self._check_open()
        return _Values(self._results(func, zip(iterable), is_ordered=False))

    def _results(self, func, tuples, is_ordered=True):
        results, add = self._executor._track().results(func, is_ordered)
        add(tuples)
        return results

    def close(self):
        """Takes no more tasks."""
        self._is_open = False
        self._executor.shutdown(wait=False)

    def terminate(self):
        """Ends all tasks at once."""
        self._is_open = False
        self._executor.terminate()

    def join(self):
        """Waits until all tasks have ended, after `close` or `terminate`."""
        if self._is_open:
            raise ValueError("Pool is still running")
        self._executor.shutdown(wait=True)

    def __enter__(self):
        self._check_open()
        return self

    def __exit__(self, kind, value, traceback):
        self.terminate()

    def _check_open(self):
        if not self._is_open:
            raise ValueError("Pool not running")


def _values_of(results):
    """The values of all tasks, in a list, or the first exception once all have ended."""
    values, first = [], None
    while True:
        left = len(results)
        try:
            values.extend(results)
            break
        except (Exception, SystemExit) as error:
            first = first or error
            if len(results) == left:  # Nothing will follow.
                break
    if first is not None:
        raise first
    return values


class AsyncResult:
    """The result of tasks that may still run."""

    def __init__(self, callback, error_callback):
        self._callback, self._error_callback = callback, error_callback
        self._value = self._error = None
        self._lock = threading.Lock()
        self._is_settled = False
        self._done = threading.Event()

    def get(self, timeout=None):
        """The value, or the first exception; multiprocessing.TimeoutError if it is not there after so many seconds."""
        self.wait(timeout)
        if not self.ready():
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._value

    def wait(self, timeout=None):
        """Waits until the result is there, for so many seconds at most."""
        self._done.wait(timeout)

    def ready(self):
        """Whether the result is there."""
        return self._done.is_set()

    def successful(self):
        """Whether no task raised; ValueError if that is not known yet."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._error is None

    def _take(self, get):
        try:
            value = get()
        except (Exception, SystemExit) as error:
            self._settle(None, error)
        else:
            self._settle(value, None)

    def _settle(self, value, error):
        with self._lock:
            if self._is_settled:
                return
            self._is_settled = True
            self._value, self._error = value, error
        callback, what = (self._callback, value) if error is None else (self._error_callback, error)
        try:
            if callback is not None:
                callback(what)
        finally:
            self._done.set()


class _ResultOfFuture(AsyncResult):
    """The result of a task when nobody is called with it: its future knows all, and nothing need watch it."""

    def __init__(self, future, gather):
        self._future = future
        self._gather = gather

    def get(self, timeout=None):
        try:
            self._future.exception(timeout)
        except concurrent.futures.TimeoutError:
            raise TimeoutError from None
        except concurrent.futures.CancelledError:
            pass  # Which is raised below.
        return self._gather(self._future.result())

    def wait(self, timeout=None):
        concurrent.futures.wait([self._future], timeout)

    def ready(self):
        return self._future.done()

    def successful(self):
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return not self._future.cancelled() and self._future.exception() is None


def _result(future, gather, callback, error_callback):
    """The result of one task."""
    if callback is None and error_callback is None:
        return _ResultOfFuture(future, gather)
    result = AsyncResult(callback, error_callback)
    future.add_done_callback(lambda future: result._take(lambda: gather(future.result())))
    return result


def _same(value):
    return value


def _in_list(value):
    return [value]


class _Values:
    """An iterator whose `next` takes a time-out."""

    def __init__(self, results):
        self._results = results

    def __iter__(self):
        return self

    def next(self, timeout=None):
        """The next value; multiprocessing.TimeoutError if it is not there after so many seconds."""
        self._results.set_timeout(timeout, TimeoutError)
        return next(self._results)

    def __next__(self):
        return self.next()

    def close(self):
        """Gives out no more: what has not begun never will."""
        self._results.close()
