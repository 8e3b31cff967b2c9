"""Which functions and values travel, and what is said of those that cannot."""

import functools
import gc
import itertools
import pickle
import threading

import pytest
from conftest import needed, run_script
from tasks import CountedLoads, add, fail, fail_unreadably, fail_without_pickle

import poolmap

factor = 2


def test_lambdas_closures_partials_and_methods_work(pool):
    offset = 10
    assert pool.submit(lambda x: x + offset, 1).result() == 11
    assert pool.submit(functools.partial(add, 5), 6).result() == 11
    assert pool.submit("{}!".format, "a").result() == "a!"
    assert list(pool.map(functools.partial(add, 1), [1, 2])) == [2, 3]
    assert list(pool.map(str.upper, ["a", "b"])) == ["A", "B"]


def test_a_function_by_value_sees_its_variables_as_they_are_at_each_call():
    printed = run_script(
        """
import poolmap
factor, items = 2, []
def scale(x): return helper(x)
def helper(x): return x * factor + len(items)
with poolmap.Executor(1) as pool:
    for factor in (2, 2, 2, 3): print(pool.submit(scale, 10).result())
    items.append(1); print(pool.submit(scale, 10).result())
"""
    )
    assert printed.split() == ["20", "20", "20", "30", "31"]


def test_a_function_and_what_it_closes_over_travel_once_to_each_child():
    counted = CountedLoads()
    with poolmap.Executor(1) as pool:
        loads = [pool.submit(lambda: counted.loads()).result() for _ in range(3)]
        assert len(loads) == 3

        def again(_):
            return counted.loads()

        assert set(pool.map(again, range(500))) == {max(loads) + 1}, "however many tasks name it"


def test_a_program_that_never_stops_making_functions_does_not_grow_its_list_of_them_for_ever(pool, monkeypatch):
    monkeypatch.setattr("poolmap._calls._FUNCTIONS_MAX", 10)

    def made(number):
        return lambda x: x + number

    endless = pool.map(made(0), itertools.count(), buffersize=2)
    jobs = set()
    for number in range(100):
        assert list(pool.map(made(number), [1])) == [number + 1]
        jobs.add(id(pool._default_track))
        assert next(endless) == number, "who holds a list that was left goes on"
    assert len(pool._tracks) <= 1 and len(jobs) > 1
    del endless
    gc.collect()
    assert len(pool._retired) <= 1


def test_the_main_module_needs_no_guard_and_its_classes_come_back_as_themselves():
    printed = run_script(
        """
import concurrent.futures, poolmap
class Point:
    def __init__(self, x): self.x = x
class Odd(Exception): pass
def do_work(point):
    if point.x % 2: raise Odd(point.x)
    return Point(point.x + 1)
with poolmap.Executor(2) as pool:
    print(type(pool.submit(do_work, Point(2)).result()) is Point)
    try: pool.submit(do_work, Point(3)).result()
    except Odd as odd: print(odd)
    print([point.x for point in pool.map(do_work, [Point(0), Point(2)])])
"""
    )
    assert printed.split("\n") == ["True", "3", "[1, 3]", ""]


def test_an_exception_comes_back_as_itself_with_where_it_was_raised(pool):
    with pytest.raises(ValueError, match="on purpose") as caught:
        pool.submit(fail, "on purpose").result()
    assert "in fail\n    raise ValueError(text)" in str(caught.value.__cause__)


def test_exceptions_that_cannot_come_back_are_told_by_name(pool):
    with pytest.raises(poolmap.RemoteError, match="tasks.Unreadable: one two"):
        pool.submit(fail_unreadably).result()
    with pytest.raises(poolmap.RemoteError, match="ValueError: with a lock") as caught:
        pool.submit(fail_without_pickle).result()
    assert pickle.loads(pickle.dumps(caught.value)).type == "ValueError"


def test_an_argument_that_cannot_be_pickled_is_named(pool):
    with pytest.raises(TypeError, match=r"argument 2 of add\(\)\['key'\]\[1\], of type _thread.lock"):
        pool.submit(add, 1, {"key": [0, threading.Lock()]}).result()
    with pytest.raises(TypeError, match=r"argument 'b' of add\(\)"):
        pool.submit(add, 1, b=threading.Lock()).result()


def test_a_result_that_cannot_be_pickled_is_named(pool):
    with pytest.raises(TypeError, match="the function's result, of type _thread.lock"):
        pool.submit(threading.Lock).result()


def test_large_values_come_through_whole(pool):
    large = bytes(range(256)) * 40_000
    assert pool.submit(bytes, large).result() == large


def test_arrays_come_through_whole(pool):
    numpy = needed("numpy")
    array = numpy.arange(1_000_000.0)
    assert (pool.submit(numpy.sqrt, array).result() == numpy.sqrt(array)).all()
