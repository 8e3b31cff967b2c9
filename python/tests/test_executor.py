"""`Executor` beyond what CPython's own tests say of it."""

import asyncio
import concurrent.futures
import itertools
import os

import pytest
from conftest import eventually, is_alive
from tasks import add, awaited, count, die, fail, initialize, initialized, pid, wait_for

import poolmap


def test_futures_are_those_of_the_standard_library(pool):
    future = pool.submit(add, 1, b=2)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result() == 3
    assert concurrent.futures.wait([pool.submit(add, 1)]).done


def test_a_hundred_thousand_tasks_have_an_outcome_each(pool):
    futures = [pool.submit(add, number) for number in range(100_000)]
    assert sum(future.result() for future in concurrent.futures.as_completed(futures)) == sum(range(1, 100_001))


def test_map_gives_results_in_order_and_goes_on_after_an_exception(pool):
    results = pool.map(int, ["1", "x", "3"])
    assert next(results) == 1
    with pytest.raises(ValueError):
        next(results)
    assert next(results) == 3
    assert list(results) == []


def test_map_reads_an_endless_input_as_far_as_its_buffer(pool):
    read = itertools.count()
    results = pool.map(add, read, buffersize=5)
    assert [next(results) for _ in range(10)] == list(range(1, 11))
    assert next(read) < 20


@pytest.mark.parametrize("end", ["close", "drop", "buffer"])
def test_a_map_that_is_left_half_way_runs_no_further(tmp_path, end):
    with poolmap.Executor(1) as pool:
        gates = [str(tmp_path / str(number)) for number in range(100)]
        open(gates[0], "w").close()
        results = pool.map(wait_for, gates, buffersize=10 if end == "buffer" else None)
        next(results)
        eventually(lambda: os.path.exists(f"{gates[1]}.begun"))
        if end == "close":
            results.close()
            assert list(results) == []
        del results
        open(gates[1], "w").close()
        assert pool.submit(add, 1).result() == 2
    begun = [gate for gate in gates if os.path.exists(f"{gate}.begun")]
    assert len(begun) < 20, "what had not begun did not"


def test_a_map_that_nobody_reads_runs_all_the_same(tmp_path):
    with poolmap.Executor(2) as pool:
        pool.map(lambda name: open(name, "w").close(), [str(tmp_path / str(number)) for number in range(50)])
    assert len(os.listdir(tmp_path)) == 50


def test_map_shows_progress_by_what_it_is_given(pool):
    totals = []

    def bar(iterator, total):
        totals.append(total)
        return iterator

    assert list(pool.map(add, range(3), progress=bar)) == [1, 2, 3]
    assert totals == [3]


def test_a_dead_child_fails_its_task_alone(pool):
    doomed, others = pool.submit(die), [pool.submit(add, number) for number in range(50)]
    with pytest.raises(poolmap.TaskDied, match="status 3"):
        doomed.result()
    assert [future.result() for future in others] == list(range(1, 51))
    assert issubclass(poolmap.TaskDied, concurrent.futures.BrokenExecutor)
    assert pool.submit(add, 1).result() == 2, "the pool takes more"


def test_cancel_stops_a_task_that_runs(pool, tmp_path):
    path = str(tmp_path / "never")
    future, follower = pool.submit(wait_for, path), pool.submit(wait_for, path)
    eventually(lambda: os.path.exists(f"{path}.begun"))
    assert future.cancel() and future.cancelled()
    assert follower.cancel()
    assert sum(pool.map(add, range(100))) == 5050, "the slots are free"


def test_what_runs_is_told_from_what_waits(pool, tmp_path):
    path = str(tmp_path / "go")
    futures = [pool.submit(wait_for, path) for _ in range(4)]
    assert [future.running() for future in futures] == [True, True, False, False]
    open(path, "w").close()
    concurrent.futures.wait(futures)
    assert not any(future.running() for future in futures)
    assert pool.submit(add, 1).result() == 2


def test_cancel_leaves_what_runs_if_it_is_told_to(tmp_path):
    path = str(tmp_path / "go")
    with poolmap.Executor(1, cancel_running=False) as pool:
        future, waiting, last = [pool.submit(wait_for, path) for _ in range(3)]
        eventually(lambda: os.path.exists(f"{path}.begun"))
        assert future.running() and not future.cancel() and not future.cancelled()
        assert waiting.cancel() and waiting.cancelled()
        open(path, "w").close()
        assert future.result() == last.result() and not future.cancel()


def test_a_cancelled_future_is_told_to_all_who_wait(pool, tmp_path):
    future = pool.submit(wait_for, str(tmp_path / "never"))
    future.cancel()
    (done,) = concurrent.futures.as_completed([future])
    assert done is future
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()


def test_a_task_that_takes_too_long_times_out(pool, tmp_path):
    timed = pool.options(timeout=0.1)
    with pytest.raises(concurrent.futures.TimeoutError, match="0.1 s"):
        timed.submit(wait_for, str(tmp_path / "never")).result()
    assert issubclass(poolmap.TaskTimeout, TimeoutError)
    assert timed.submit(add, 1).result() == 2


def test_calls_with_other_options_run_in_the_same_process(tmp_path):
    with poolmap.Executor(1, initializer=count, initargs=(str(tmp_path / "starts"),)) as pool:
        timed, patient = pool.options(timeout=60), pool.options(timeout=60, retries=1)
        children = {each.submit(pid).result() for _ in range(3) for each in (pool, timed, patient)}
        assert len(children) == 1
        # Each view knows its functions by its own numbers.
        assert [each.submit(add, 1).result() for each in (timed, pool, patient)] == [2, 2, 2]
        assert count(str(tmp_path / "starts")) == 2


def test_a_process_that_changed_hands_is_replaced_after_as_many_tasks_as_any():
    with poolmap.Executor(1, max_tasks_per_child=3) as pool:
        timed = pool.options(timeout=60)
        children = [each.submit(pid).result() for _ in range(3) for each in (pool, timed)]
    assert [children.count(child) for child in dict.fromkeys(children)] == [3, 3]


def test_a_task_that_failed_is_tried_again(pool, tmp_path):
    def flaky(path):
        with open(path, "a") as file:
            file.write(os.environ["POOLMAP_ATTEMPT"])
        if os.environ["POOLMAP_ATTEMPT"] != "3":
            raise OSError
        return open(path).read()

    assert pool.options(retries=2).submit(flaky, str(tmp_path / "tries")).result() == "123"


def test_exactly_so_many_tasks_run_in_each_child():
    with poolmap.Executor(2, max_tasks_per_child=5) as pool:
        children = [future.result() for future in [pool.submit(pid) for _ in range(50)]]
    counts = [children.count(child) for child in set(children)]
    assert max(counts) == 5 and sum(counts) == 50


def test_an_initializer_runs_in_each_child():
    with poolmap.Executor(2, 1, initialize, ("yes",)) as pool:
        assert list(pool.map(lambda _: initialized(), range(6))) == ["yes"] * 6


def test_an_initializer_that_raises_breaks_the_executor_and_says_why():
    with poolmap.Executor(1, initializer=fail, initargs=("on purpose",)) as pool:
        future = pool.submit(add, 1)
        with pytest.raises(concurrent.futures.BrokenExecutor, match="the initializer raised ValueError: on purpose"):
            future.result()
        with pytest.raises(poolmap.PoolBroken):
            eventually(lambda: pool.submit(add, 1).cancelled())


def test_the_thread_backend_shares_one_process():
    with poolmap.Executor(3, backend="thread") as pool:
        assert len(set(pool.map(pid, range(30)))) == 1


def test_the_inline_backend_runs_in_the_caller():
    with poolmap.Executor(backend="inline", retries=1) as pool:
        assert pool.submit(pid).result() == os.getpid()
        assert list(pool.map(add, [1, 2])) == [2, 3]
        with pytest.raises(ValueError):
            pool.submit(fail, "x").result()
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(add, 1)


def test_preloaded_modules_are_there():
    with poolmap.Executor(1, preload=["colorsys"]) as pool:
        assert pool.submit(lambda: "colorsys" in __import__("sys").modules).result()


def test_what_an_async_function_gives_is_awaited(pool):
    assert pool.submit(awaited, 7).result() == 7


def test_the_event_loop_runs_functions_in_it(pool):
    async def main():
        return await asyncio.get_running_loop().run_in_executor(pool, add, 4)

    assert asyncio.run(main()) == 5


def test_terminate_ends_what_runs(tmp_path):
    path = str(tmp_path / "never")
    pool = poolmap.Executor(1)
    future = pool.submit(wait_for, path)
    eventually(lambda: os.path.exists(f"{path}.begun"))
    pool.terminate()
    with pytest.raises(poolmap.PoolBroken, match="terminated"):
        future.result()


def test_no_child_outlives_the_with_block():
    with poolmap.Executor(2) as pool:
        children = set(pool.map(pid, range(20)))
    eventually(lambda: not any(map(is_alive, children)))


def test_a_callback_that_raises_harms_nobody(pool):
    future = pool.submit(add, 1)
    future.add_done_callback(lambda _: 1 / 0)
    assert future.result() == 2 and pool.submit(add, 2).result() == 3


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"max_workers": 0}, ValueError, "max_workers must be greater than 0"),
        ({"max_workers": "2"}, TypeError, "max_workers must be an integer"),
        ({"timeout": -1}, ValueError, "timeout must be a number of seconds greater than 0"),
        ({"timeout": float("nan")}, ValueError, "timeout"),
        ({"retries": -1}, ValueError, "retries must be >= 0"),
        ({"max_tasks_per_child": 0}, ValueError, "max_tasks_per_child must be >= 1"),
        ({"backend": "fiber"}, ValueError, "backend must be one of process, thread, inline"),
        ({"backend": "thread", "timeout": 1}, ValueError, "backend='process'"),
        ({"initializer": 5}, TypeError, "initializer must be a callable"),
    ],
)
def test_bad_options_are_refused_with_a_reason(options, error, text):
    with pytest.raises(error, match=text):
        poolmap.Executor(**options)


def test_an_executor_that_was_shut_down_takes_no_more():
    pool = poolmap.Executor(1)
    pool.submit(add, 1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.submit(add, 1)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.options(retries=1).submit(add, 1)
