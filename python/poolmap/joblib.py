"""joblib on poolmap, and so scikit-learn and whatever else runs on joblib.

    poolmap.joblib.register()
    with joblib.parallel_config("poolmap", n_jobs=4):
        cross_val_score(model, X, y)

Options of `Executor` go beside `n_jobs`, which counts a cluster's slots from the end: `n_jobs=-1, cluster="client.access"`.
"""

import atexit

from joblib import register_parallel_backend
from joblib.parallel import AutoBatchingMixin, FallbackToBackend, ParallelBackendBase, SequentialBackend

from ._died import PoolBroken
from ._executor import Executor
from ._sizing import pool_size

_executors = {}


def register(name="poolmap", make_default=False):
    """Makes the backend known to joblib under a name, and perhaps its default."""
    register_parallel_backend(name, Backend, make_default=make_default)


class Backend(AutoBatchingMixin, ParallelBackendBase):
    """Runs joblib's calls in an executor, which serves all later ones with as many jobs and the same options."""

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(self, nesting_level=None, inner_max_num_threads=None, **options):
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads, **options)
        self._futures = set()
        self._options = {name: value for name, value in self.backend_kwargs.items() if value is not None}

    def effective_n_jobs(self, n_jobs):
        """So many tasks at once; -1 is one for each processor, -2 one less, and so on."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        return max(self._slots() + 1 + n_jobs, 1) if n_jobs < 0 else n_jobs

    def _slots(self):
        return _executor(None, self._options)._max_workers if "cluster" in self._options else pool_size(1)

    def configure(self, n_jobs=1, parallel=None, prefer=None, require=None, **options):
        """Finds the executor."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        self._executor = _executor(None if "cluster" in self._options else n_jobs, self._options)
        return n_jobs

    def submit(self, func, callback=None):
        """Runs a batch of joblib's."""
        future = self._executor.submit(func)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out):
        """The values of a batch."""
        try:
            return out.result()
        except PoolBroken:
            _forget(self._executor)
            raise

    def abort_everything(self, ensure_ready=True):
        """Stops what runs: an exception was raised."""
        for future in list(self._futures):
            future.cancel()

    def terminate(self):
        """Nothing more is to be done for this call; the executor waits for the next."""
        self.reset_batch_stats()


def _executor(n_jobs, options):
    key = n_jobs, tuple(sorted((name, _hashable(value)) for name, value in options.items()))
    if key not in _executors:
        if not _executors:
            atexit.register(_executors.clear)
        _executors[key] = Executor(n_jobs, **options)
    return _executors[key]


def _hashable(value):
    return tuple(value) if isinstance(value, list) else value


def _forget(executor):
    """The next call gets another one: this one is broken."""
    for key in [key for key, known in _executors.items() if known is executor]:
        del _executors[key]
