"""Waiting for the only task that there is, which its waiter settles itself, and for one among others."""

import concurrent.futures
import threading

import pytest
import tasks

import poolmap


@pytest.fixture(scope="module")
def pool():
    with poolmap.Executor(2) as pool:
        pool.submit(abs, 1).result()
        yield pool


def test_a_task_is_waited_for_whatever_came_before_it_or_comes_beside_it(pool):
    for others in range(5):
        futures = [pool.submit(tasks.add, place, 1) for place in range(others)]
        assert pool.submit(tasks.add, others, 1).result() == others + 1
        assert [future.result() for future in reversed(futures)] == list(range(1, others + 1))[::-1]


def test_several_threads_may_wait_for_one_task(pool, tmp_path):
    gate = tmp_path / "gate"
    future = pool.submit(tasks.wait_for, str(gate))
    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(future.result, 20) for _ in range(3)]
        gate.touch()
        assert len({each.result() for each in waiting}) == 1


def test_waiting_for_one_task_ends_in_time_and_it_can_be_waited_for_again(pool, tmp_path):
    gate = tmp_path / "gate"
    future = pool.submit(tasks.wait_for, str(gate))
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(timeout=0.01)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.exception(timeout=0)
    gate.touch()
    future.result(timeout=20)


def test_a_task_that_is_cancelled_elsewhere_is_not_waited_for_any_more(pool, tmp_path):
    future = pool.submit(tasks.wait_for, str(tmp_path / "gate"))
    timer = threading.Timer(0.05, future.cancel)
    timer.start()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(timeout=20)


def test_a_callback_never_runs_within_what_its_waiter_holds(pool, tmp_path):
    lock, called, gate = threading.Lock(), threading.Event(), tmp_path / "gate"

    def callback(_future):
        with lock:
            called.set()

    future = pool.submit(tasks.wait_for, str(gate))
    future.add_done_callback(callback)
    with lock:
        gate.touch()
        future.result(timeout=20)
    assert called.wait(20)


def test_the_end_of_the_pool_ends_waiting_for_a_task(tmp_path):
    pool = poolmap.Executor(1)
    future = pool.submit(tasks.wait_for, str(tmp_path / "gate"))
    timer = threading.Timer(0.2, pool.terminate)
    timer.start()
    with pytest.raises(poolmap.PoolBroken):
        future.result(timeout=20)
    timer.join()
