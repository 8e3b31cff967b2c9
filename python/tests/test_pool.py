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


def test_a_list_is_whole_or_has_the_first_exception_once_all_have_ended(pool, tmp_path):
    failed = []
    result = pool.map_async(int, ["1", "x", "3", "y"], callback=failed.append, error_callback=failed.append)
    result.wait(20)
    assert [str(error) for error in failed] == ["invalid literal for int() with base 10: 'x'"]
    touched = [str(tmp_path / str(number)) for number in range(10)]
    with pytest.raises(TypeError):
        pool.map(lambda path: open(path, "w").close(), [None, *touched])
    assert len(os.listdir(tmp_path)) == 10
    lock = threading.Lock()
    with pytest.raises(TypeError, match="of type _thread.lock"):
        pool.map_async(add, [1, lock, 3]).get(20)
    assert pool.map_async(add, range(1000)).get(20) == list(range(1, 1001))


def test_results_to_come_of_a_pool_that_ends_are_told(tmp_path):
    with poolmap.Pool(1) as pool:
        result = pool.map_async(wait_for, [str(tmp_path / "never")] * 3)
    with pytest.raises(poolmap.PoolBroken):
        result.get(20)


def test_imap_left_half_way_runs_no_further(tmp_path):
    with poolmap.Pool(1) as pool:
        gates = [str(tmp_path / str(number)) for number in range(100)]
        open(gates[0], "w").close()
        values = pool.imap_unordered(wait_for, gates)
        next(values)
        eventually(lambda: os.path.exists(f"{gates[1]}.begun"))
        values.close()
        open(gates[1], "w").close()
        assert pool.apply(add, (1,)) == 2
        assert not os.path.exists(f"{gates[50]}.begun")


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
