"""`poolmap.Executor`: a `concurrent.futures.Executor` whose tasks run in poolmap's pool."""

import concurrent.futures
import functools
import itertools
import os
import sys
import threading
import weakref

from . import _calls, _errors, _exit
from ._cluster import Cluster
from ._inline import InlineTrack
from ._options import Options

_BACKENDS = ("process", "thread", "inline")


class _Submitting:
    """What an executor and its views with other options have in common: `submit` and `map` by a track."""

    def submit(self, fn, /, *args, **kwargs):
        """Schedules `fn(*args, **kwargs)` and returns its future.

        Raises RuntimeError after `shutdown`, and `PoolBroken` once nothing can be run any more. Arguments that cannot be
        pickled are an exception of the future.
        """
        return self._track().submit(fn, args, kwargs)

    def map(self, fn, *iterables, timeout=None, chunksize=1, buffersize=None, progress=False):
        """An iterator over `fn(*tuple)` for the tuples of `zip(*iterables)`, in their order.

        `timeout` is in seconds from this call on; TimeoutError is raised by the iterator. `chunksize` is accepted and not
        needed: tasks travel in batches by themselves. With a `buffersize` the iterables are read lazily, so many tuples
        ahead of the results, and may be endless. Closing the iterator, or leaving it once it was asked for a result, cancels
        what has not begun. `progress=True` shows a bar of tqdm's, or pass a function that wraps an
        iterator and takes `total=`. A task that failed raises its exception in its turn; the iterator can go on after it.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        results = self._results(fn, iterables, timeout, buffersize)
        return _with_progress(results, progress) if progress else results

    def _results(self, fn, iterables, timeout, buffersize):
        tuples = zip(*iterables)
        results, add = self._track().results(fn)
        if timeout is not None:
            results.set_timeout(timeout, concurrent.futures.TimeoutError)
        if buffersize is None:
            add(tuples)
            return results
        add(itertools.islice(tuples, buffersize))
        return _lazily(results, add, tuples)


def _lazily(results, add, tuples):
    for result in results:
        add(itertools.islice(tuples, 1))
        yield result


def _with_progress(results, progress):
    total = len(results) if hasattr(results, "__len__") else None
    if progress is True:
        from tqdm.auto import tqdm as progress
    return iter(progress(results, total=total))


class Executor(_Submitting, concurrent.futures.Executor):
    """Runs calls in a pool of processes, on this machine or on those of a cluster.

    max_workers: tasks that run at once; by default what `pool_size()` says. A cluster has the slots of its workers.
    max_tasks_per_child: a process is replaced after so many tasks; exactly so many run in each.
    initializer, initargs: called in each process before its first task. If it raises, the executor is broken.
    backend: "process"; "thread": all tasks in threads of one process, which they share; "inline": `submit` runs the call
        itself, in this thread.
    timeout: seconds that one attempt may take; then it is stopped and fails with `TaskTimeout`.
    retries: times that a task which raised or timed out is tried again.
    crash_limit: attempts of a task that may end with the death of its process before it fails with `TaskDied`.
    max_child_rss: resident bytes past which a process is replaced between tasks.
    preload: modules that are imported once, in a process from which the others are forked.
    cluster: run tasks there: an access file's path; "http://127.0.0.1:PORT", a coordinator that was started with --insecure;
        or True, the file that `POOLMAP_ACCESS` names, else that of this user's coordinator on this machine. It is connected to
        at once: FileNotFoundError, PermissionError or ValueError if the file is of no use, ConnectionError if the coordinator
        cannot be reached or refuses.
    ship: files and folders that travel to a cluster's hosts, for modules that they lack: tasks find them in their working
        directory, and `import` does, too.

    cancel_running: `future.cancel()` also stops a task that already runs; False has it return False then, as the standard
        library's does.
    """

    def __init__(
        self,
        max_workers=None,
        max_tasks_per_child=None,
        initializer=None,
        initargs=(),
        *,
        backend="process",
        timeout=None,
        retries=0,
        crash_limit=3,
        max_child_rss=None,
        preload=(),
        cluster=None,
        ship=(),
        cancel_running=True,
    ):
        if backend not in _BACKENDS:
            raise ValueError(f"backend must be one of {', '.join(_BACKENDS)}, not {backend!r}")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._cluster = None if cluster is None else Cluster(cluster, ship, max_workers, backend)
        if cluster is None and ship:
            raise ValueError("ship= is for a cluster; here tasks have the files of this machine")
        self._max_workers = _checked_workers(max_workers) if cluster is None else None
        self._backend = backend
        self._initializer, self._initargs = initializer, initargs
        self._cancels_running = bool(cancel_running)
        self._options = Options(
            timeout, retries, crash_limit, max_tasks_per_child, max_child_rss, tuple(preload), backend
        )
        self._lock = threading.Lock()
        self._tracks = {}
        self._retired = weakref.WeakSet()
        self._default_track = None
        self._pool = None
        self._ended = None
        self._is_shut_down = False
        self._process = os.getpid()
        if self._cluster is not None:
            self._start()
            self._max_workers = max(1, self._pool.slots)

    def options(self, *, timeout=None, retries=None, crash_limit=None):
        """The same executor with other options for the calls made by what this returns; None leaves one as it is."""
        return _WithOptions(self, self._options.but(timeout=timeout, retries=retries, crash_limit=crash_limit))

    def shutdown(self, wait=True, *, cancel_futures=False):
        """Takes no more calls, and ends the pool once those that were submitted have ended.

        wait: returns only then. cancel_futures: cancels what has not begun.
        """
        with self._lock:
            self._is_shut_down = True
            tracks = [*self._tracks.values(), *self._retired]
        if os.getpid() != self._process:
            return  # The pool belongs to the process that this one was forked from.
        for track in tracks:
            track.close(cancel_futures)
        if self._pool is not None:
            self._pool.close()
            if wait:
                self._ended.wait()

    def terminate(self):
        """Ends the pool at once: tasks that run are killed, and all futures that are not done fail with `PoolBroken`."""
        with self._lock:
            self._is_shut_down = True
        if self._pool is not None and os.getpid() == self._process:
            self._pool.abandon("the executor was terminated")
            self._ended.wait()

    def __exit__(self, kind, value, traceback):
        if kind is KeyboardInterrupt:
            self.terminate()
        else:
            self.shutdown(wait=True)
        return False

    def __del__(self):
        if getattr(self, "_pool", None) is not None:
            self.shutdown(wait=False)

    def _track(self):
        # Once it is shut down the track itself refuses.
        return self._default_track or self._track_with(self._options)

    def _track_with(self, options):
        with self._lock:
            track = self._tracks.get(options)
            if track is None:
                if self._is_shut_down or _exit.is_shutting_down:
                    raise refused(None)
                track = self._tracks[options] = self._open(options)
                if options == self._options:
                    self._default_track = track
        return track

    def _open(self, options):
        if self._backend == "inline":
            return InlineTrack(options, self._initializer, self._initargs)
        from ._track import Track

        if self._pool is None:
            self._start()
        is_here = self._cluster is None
        setup = _calls.dumps_setup(self._initializer, self._initargs, is_here)
        job = self._pool.open(setup=setup, cancel_running=self._cancels_running, **options.of_job(is_here))
        return Track(job, self._cancels_running, functools.partial(_retire, weakref.ref(self), options))

    def _start(self):
        ended = threading.Event()
        pool = self._pool = (self._cluster or self._here)(_Hooks(ended))
        self._ended = ended

        def close(at_once):
            for track in [*tracks.values(), *retired]:
                track.close()
            if at_once:
                pool.abandon("the program was interrupted")
            pool.close()

        tracks, retired = self._tracks, self._retired
        _exit.keep(ended, close)

    def _here(self, hooks):
        from . import _native

        if not sys.executable:
            raise RuntimeError("sys.executable is empty, so no interpreter for the tasks can be started")
        return _native.Pool.local(self._max_workers, hooks)


def _retire(executor, options, calls):
    """Has the next calls with these options go to another job than these."""
    executor = executor()
    if executor is None:
        return
    with executor._lock:
        track = executor._tracks.get(options)
        if track is not None and track.calls is calls and not executor._is_shut_down:
            executor._retired.add(executor._tracks.pop(options))
            if executor._default_track is track:
                executor._default_track = None


class _WithOptions(_Submitting):
    """An executor with other options. It is shut down with the executor."""

    def __init__(self, executor, options):
        self._executor = executor
        self._options = options

    def options(self, **changes):
        """As `Executor.options`, from these options on."""
        return _WithOptions(self._executor, self._options.but(**changes))

    def _track(self):
        return self._executor._track_with(self._options)


class _Hooks:
    """What the native half calls."""

    def __init__(self, ended):
        import marshal
        import pickle

        from . import _buffers

        self.pickled = _calls.pickled
        self.loads, self.loads_plain, self.loads_with_buffers = pickle.loads, marshal.loads, _buffers.load
        self.failure, self.broken, self.refused = _errors.of_failure, _errors.of_pool, refused
        self._ended = ended

    def ended(self):
        """The pool has ended."""
        _exit.forget(self._ended)
        self._ended.set()


def refused(reason):
    """The exception for a call that comes too late."""
    if reason is not None:
        return _errors.of_pool(reason)
    what = "interpreter shutdown" if _exit.is_shutting_down else "shutdown"
    return RuntimeError(f"cannot schedule new futures after {what}")


def _checked_workers(max_workers):
    if max_workers is None:
        from ._sizing import pool_size

        return pool_size()
    if not isinstance(max_workers, int):
        raise TypeError(f"max_workers must be an integer, not {type(max_workers).__name__}")
    if max_workers <= 0:
        raise ValueError("max_workers must be greater than 0")
    return max_workers
