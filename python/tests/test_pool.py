"""`Pool`: the methods of `multiprocessing.Pool`."""

import multiprocessing
import os
import threading

import pytest
from conftest import eventually
from tasks import add, fail, initialize, initialized, pid, wait_for

import poolmap


@pytest.fixture
def pool():
    with poolmap.Pool(2) as pool:
        yield pool


def test_apply_and_map_give_values(pool):
    assert pool.apply(add, (1,), {"b": 2}) == 3
    assert pool.map(add, range(5)) == [1, 2, 3, 4, 5]
    assert pool.starmap(add, [(1, 2), (3, 4)], chunksize=7) == [3, 7]
    assert list(pool.imap(add, range(3))) == [1, 2, 3]
    assert sorted(pool.imap_unordered(add, range(100), chunksize=9)) == list(range(1, 101))
    assert pool.map(add, []) == []


def test_results_to_come_tell_when_they_are_there(pool, tmp_path):
    path = str(tmp_path / "go")
    result = pool.apply_async(wait_for, (path,))
    assert not result.ready()
    with pytest.raises(ValueError):
        result.successful()
    with pytest.raises(multiprocessing.TimeoutError):
        result.get(timeout=0.05)
    open(path, "w").close()
    assert result.get(20) > 0 and result.ready() and result.successful()
    assert pool.map_async(add, range(3)).get() == [1, 2, 3]
    assert pool.starmap_async(add, []).get() == []


def test_callbacks_get_the_value_or_the_exception(pool):
    told, failed = [], []
    pool.starmap_async(add, [(1, 2), (3, 4)], callback=told.append).wait()
    pool.apply_async(fail, ("on purpose",), callback=told.append, error_callback=failed.append).wait()
    assert told == [[3, 7]]
    assert repr(failed) == repr([ValueError("on purpose")])


def test_exceptions_are_raised_by_whoever_asks_for_values(pool):
    with pytest.raises(ValueError, match="on purpose"):
        pool.apply(fail, ("on purpose",))
    with pytest.raises(ValueError):
        pool.map(fail, ["x"])
    result = pool.apply_async(fail, ("x",))
    result.wait()
    assert not result.successful()


def test_imap_waits_for_so_long_and_goes_on(pool, tmp_path):
    path = str(tmp_path / "go")
    values = pool.imap(wait_for, [path])
    with pytest.raises(multiprocessing.TimeoutError):
        values.next(timeout=0.05)
    open(path, "w").close()
    assert values.next() > 0


def test_a_closed_pool_finishes_and_takes_no_more():
    pool = poolmap.Pool(1, initialize, ("yes",))
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    result = pool.apply_async(initialized)
    pool.close()
    pool.join()
    assert result.get() == "yes"
    with pytest.raises(ValueError, match="not running"):
        pool.apply(add, (1,))


def test_terminate_ends_what_runs(tmp_path):
    path = str(tmp_path / "never")
    with poolmap.Pool(1) as pool:
        result = pool.apply_async(wait_for, (path,))
        eventually(lambda: os.path.exists(f"{path}.begun"))
    with pytest.raises(poolmap.PoolBroken):
        result.get(20)
    pool.join()


def test_children_are_replaced_after_their_share():
    with poolmap.Pool(1, maxtasksperchild=2) as pool:
        children = pool.map(pid, range(6))
    assert len(set(children)) == 3


def test_callbacks_run_in_another_thread(pool):
    threads = []
    pool.apply_async(add, (1,), callback=lambda _: threads.append(threading.get_ident())).wait()
    assert threads and threads[0] != threading.get_ident()


def test_a_pool_has_at_least_one_process():
    with pytest.raises(ValueError, match="at least 1"):
        poolmap.Pool(0)
