"""One test for each issue of CPython's tracker in which the standard pools hang or break. Each is named by its number."""

import concurrent.futures
import os
import sys
import threading
import time

import pytest
from conftest import run_script
from tasks import add, die, pid

import poolmap


def test_94440_a_future_that_is_cancelled_at_once_does_not_hang_the_shutdown():
    for _ in range(20):
        with poolmap.Executor(2) as pool:
            pool.submit(add, 1).cancel()


def test_115634_recycling_one_process_with_many_tasks_waiting_does_not_deadlock():
    with poolmap.Executor(1, max_tasks_per_child=2) as pool:
        futures = [pool.submit(pid) for _ in range(20)]
        assert len({future.result() for future in futures}) == 10


def test_105829_many_large_tasks_to_a_process_that_dies_do_not_deadlock():
    large = b"x" * 300_000
    with poolmap.Executor(2, max_tasks_per_child=20) as pool:
        futures = [pool.submit(len, large) for _ in range(100)]
        doomed = pool.submit(die)
        assert all(future.result() == 300_000 for future in futures)
        assert isinstance(doomed.exception(), poolmap.TaskDied)


def test_132969_shutdown_without_waiting_then_a_dead_child_does_not_hang_the_exit():
    printed = run_script(
        "import os, poolmap\n"
        "pool = poolmap.Executor(2)\n"
        "futures = [pool.submit(os._exit, 1), pool.submit(abs, -1)]\n"
        "pool.shutdown(wait=False)\n"
        "print(type(futures[0].exception()).__name__, futures[1].result())"
    )
    assert printed == "TaskDied 1\n"


def test_152967_submitting_from_callbacks_while_shutting_down_does_not_hang():
    called, refused = threading.Event(), threading.Event()
    pool = poolmap.Executor(2)

    def again(_):
        called.set()
        try:
            pool.submit(add, 1).add_done_callback(again)
        except RuntimeError:
            refused.set()

    pool.submit(add, 1).add_done_callback(again)
    assert called.wait(20)
    pool.shutdown()
    assert refused.wait(20)


def test_101267_futures_that_fail_together_have_an_exception_each():
    with poolmap.Executor(1, initializer=int, initargs=("x",)) as pool:
        errors = [future.exception() for future in [pool.submit(add, number) for number in range(5)]]
    assert len(set(map(id, errors))) == 5
    assert all(isinstance(error, concurrent.futures.BrokenExecutor) for error in errors)


def test_a_dead_child_does_not_lose_the_tasks_of_others():
    with poolmap.Executor(2) as pool:
        futures = [pool.submit(add, number) for number in range(2000)]
        doomed = [pool.submit(die, 1) for _ in range(3)]
        assert [future.result() for future in futures] == list(range(1, 2001))
        for future in doomed:
            with pytest.raises(concurrent.futures.BrokenExecutor):
                future.result()


class HasNoPickle:
    def __reduce__(self):
        raise TypeError("on purpose")


def test_83285_shutdown_without_waiting_after_an_argument_without_pickle_does_not_hang():
    pool = poolmap.Executor(1)
    pool.submit(add, 1).result()
    future = pool.submit(add, HasNoPickle())
    pool.shutdown(wait=False)
    with pytest.raises(TypeError, match="on purpose"):
        future.result()
    pool.shutdown()


def test_a_task_that_calls_sys_exit_ends_itself_and_not_the_pool():
    with poolmap.Executor(1) as pool:
        with pytest.raises(SystemExit):
            pool.submit(sys.exit, 3).result()
        assert pool.submit(add, 1).result() == 2


def own_pool(kind):
    """Opens a process pool within a task."""
    if kind == "poolmap":
        with poolmap.Executor(2) as pool:
            return sum(pool.map(add, range(3)))
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        return sum(pool.map(add, range(3)))


@pytest.mark.parametrize("kind", ["poolmap", "standard"])
def test_a_task_may_open_a_process_pool_of_its_own(kind):
    with poolmap.Executor(1) as pool:
        assert pool.submit(own_pool, kind).result() == 6


def leave_thread():
    threading.Thread(target=time.sleep, args=(3600,)).start()
    return os.getpid()


def test_a_task_that_leaves_a_thread_running_holds_up_nothing():
    with poolmap.Executor(1, max_tasks_per_child=1) as pool:
        assert len({pool.submit(leave_thread).result() for _ in range(3)}) == 3
