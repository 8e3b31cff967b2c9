"""`run_jobs` and `pool_size`."""

import os

import pytest
from tasks import add, fail, pid

import poolmap


def test_calls_may_differ_and_have_fewer_arguments_than_functions():
    functions = [add, add, os.getpid]
    results = poolmap.run_jobs(functions, [(1,), (2,)], [{"b": 5}], workers=1)
    assert results == [6, 3, os.getpid()]


def test_with_one_worker_all_runs_here_and_nothing_is_started():
    assert set(poolmap.run_jobs([pid] * 3, workers=1)) == {os.getpid()}
    assert set(poolmap.run_jobs([pid] * 3, workers=0)) == {os.getpid()}
    assert poolmap.run_jobs([]) == []


def test_results_come_in_order_of_completion_or_of_submission():
    calls = [(number,) for number in range(20)]
    assert poolmap.run_jobs([add] * 20, calls, workers=2, order="submitted") == list(range(1, 21))
    assert sorted(poolmap.run_jobs([add] * 20, calls, workers=2)) == list(range(1, 21))
    assert os.getpid() not in poolmap.run_jobs([pid] * 2, workers=2)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_exception_is_raised_as_it_is(workers):
    with pytest.raises(ValueError, match="^on purpose$"):
        poolmap.run_jobs([add, fail], [(1,), ("on purpose",)], workers=workers)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="order"):
        poolmap.run_jobs([add], order="random")
    with pytest.raises(ValueError, match="2 args for 1 functions"):
        poolmap.run_jobs([add], [(1,), (2,)])


def test_a_pool_is_sized_by_the_rule():
    assert poolmap.pool_size(1e9) == 1
    assert poolmap.pool_size(1) >= poolmap.pool_size() >= 1
    assert poolmap.pool_size(1, max_workers=1) == 1
    assert poolmap.pool_size(1, max_workers=0) == poolmap.pool_size(1)
    for divisor in (0.5, float("nan"), -1):
        with pytest.raises(ValueError, match="divisor"):
            poolmap.pool_size(divisor)
    with pytest.raises(ValueError, match="platform_limit"):
        poolmap.pool_size(platform_limit="none")
