"""Large arguments and values, and arrays above all."""

import pytest
import tasks
from conftest import needed

import poolmap

numpy = needed("numpy")

# Below and above what travels beside its pickle, and what travels by itself.
SIZES = [10, 9_000, 20_000, 100_000, 1_000_000]


@pytest.fixture(scope="module")
def pool():
    with poolmap.Executor(2) as pool:
        yield pool


def flags(array):
    return array.flags.writeable, array.flags.aligned


@pytest.mark.parametrize("size", SIZES)
def test_an_array_comes_and_goes_whole_and_may_be_written_to(pool, size):
    array = numpy.arange(size, dtype=float)
    for result in pool.map(tasks.same, [array, array[::-1], array.astype("int16")]):
        assert flags(result) == (True, True)
    assert (pool.submit(tasks.same, array).result() == array).all()
    assert pool.submit(flags, array).result() == (True, True)


def test_arrays_of_many_tasks_and_several_in_one_stay_apart(pool):
    arrays = [numpy.full(30_000, float(place)) for place in range(40)]
    for place, (first, second) in enumerate(pool.map(tasks.same, zip(arrays, arrays[1:]))):
        assert (first == place).all() and (second == place + 1).all()


def test_an_array_is_sent_as_it_was_when_it_was_submitted(pool):
    array = numpy.zeros(200_000)
    futures = []
    for place in range(8):
        array[:] = place
        futures.append(pool.submit(tasks.same, array))
    assert [future.result()[-1] for future in futures] == list(range(8))


def test_an_initializer_gets_a_large_array():
    with poolmap.Executor(1, initializer=tasks.keep, initargs=(numpy.ones(100_000),)) as pool:
        assert pool.submit(tasks.kept).result().sum() == 100_000


@pytest.mark.parametrize("value", [b"x" * 3_000_000, "é" * 1_000_000, [b"y" * 100_000] * 20])
def test_large_bytes_and_texts_come_and_go_whole(pool, value):
    assert pool.submit(tasks.same, value).result() == value
    assert list(pool.map(tasks.same, [value] * 3)) == [value] * 3
