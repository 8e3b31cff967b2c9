"""CPython's own tests of its executors, run against `poolmap.Executor`.

They come from the interpreter, or from Debian's libpython3.11-testsuite; without either this file is skipped, but not where changes are checked. Every test that
is about executors runs. `LEFT_OUT` names the others, each with its reason.
"""

import multiprocessing
import os
import sys
import unittest

import pytest
from conftest import needed

import poolmap

SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cpython")
sys.path.insert(0, SHIM)
sys.modules.pop("test", None)
theirs = needed("test.test_concurrent_futures")
if not hasattr(theirs, "ExecutorTest"):
    pytest.skip("CPython 3.12 and newer have these tests in a package of another form", allow_module_level=True)

_PROCESSES = "looks at the standard pool's processes, which are a private attribute of it"
_BREAKS = "wants the whole pool to break, where here only the task fails"
LEFT_OUT = {
    "ProcessPoolShutdownTest.test_processes_terminate": _PROCESSES,
    "ProcessPoolShutdownTest.test_context_manager_shutdown": _PROCESSES,
    "ProcessPoolShutdownTest.test_del_shutdown": _PROCESSES,
    "ProcessPoolShutdownTest.test_shutdown_no_wait": _PROCESSES,
    "ProcessPoolExecutorTest.test_killed_child": f"{_PROCESSES}, and {_BREAKS}",
    "ProcessPoolExecutorTest.test_saturation": _PROCESSES,
    "ProcessPoolExecutorTest.test_idle_process_reuse_one": _PROCESSES,
    "ProcessPoolExecutorTest.test_idle_process_reuse_multiple": _PROCESSES,
    "ProcessPoolExecutorTest.test_max_tasks_per_child": _PROCESSES,
    "ProcessPoolExecutorTest.test_max_tasks_per_child_defaults_to_spawn_context": "is about start methods",
    "ProcessPoolExecutorTest.test_max_workers_too_large": "is about Windows",
    "ProcessPoolExecutorTest.test_ressources_gced_in_workers": "hands a manager's proxy to a process that is no child of ours",
    "ProcessPoolExecutorTest.test_traceback": "wants a private class of the standard pool as the cause",
    "FailingInitializerMixin.test_initializer": "reads the private attribute _broken",
    "ExecutorDeadlockTest.test_exit_at_task_unpickle": _BREAKS,
    "ExecutorDeadlockTest.test_error_at_task_unpickle": _BREAKS,
    "ExecutorDeadlockTest.test_error_during_result_unpickle_in_result_handler": _BREAKS,
    "ExecutorDeadlockTest.test_exit_during_result_unpickle_in_result_handler": _BREAKS,
    "ExecutorDeadlockTest.test_shutdown_deadlock_pickle": "joins a private thread of the standard pool",
}


class _WithExecutor(theirs.ExecutorMixin):
    """Their tests make the executor from this class; scripts that they start import it from poolmap."""

    executor_type = poolmap.Executor

    def get_context(self):
        return multiprocessing.get_context("spawn")


class _Executor(poolmap.Executor):
    """An executor that takes the start method which their tests pass where one must be passed."""

    def __init__(self, max_workers=None, mp_context=None, **options):
        super().__init__(max_workers, **options)


def _assert_python_ok(*words, **variables):
    *options, script = words
    script = script.replace("from concurrent.futures import Executor", "from poolmap import Executor")
    path = os.pathsep.join([SHIM, *filter(None, [os.environ.get("PYTHONPATH")])])
    return _original(*options, script, PYTHONPATH=path, __isolated=False, **variables)


_original = theirs.assert_python_ok
theirs.assert_python_ok = _assert_python_ok


def _adopt(group, executor_type=poolmap.Executor):
    """A class that runs a group of their tests."""
    source = getattr(theirs, group)
    members = {"executor_type": executor_type, "__module__": __name__}
    for name in LEFT_OUT:
        left, _, test = name.partition(".")
        if left == group:
            members[test] = unittest.skip(LEFT_OUT[name])(lambda self: None)
    bases = (source,) if issubclass(source, theirs.ExecutorMixin) else (source, _WithExecutor)
    return type(group, (*bases, theirs.BaseTestCase), members)


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the list is that of 3.11")
def test_every_test_left_out_exists():
    missing = []
    for name in LEFT_OUT:
        group, _, test = name.partition(".")
        if not hasattr(getattr(theirs, group, None), test):
            missing.append(name)
    assert not missing


Initializer = _adopt("InitializerMixin")
FailingInitializer = _adopt("FailingInitializerMixin")
Shutdown = _adopt("ExecutorShutdownTest")
ProcessShutdown = _adopt("ProcessPoolShutdownTest")
Wait = _adopt("WaitTests")
AsCompleted = _adopt("AsCompletedTests")
Execution = _adopt("ExecutorTest")
ProcessExecution = _adopt("ProcessPoolExecutorTest", _Executor)
Deadlock = _adopt("ExecutorDeadlockTest", _Executor)
