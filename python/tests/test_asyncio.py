"""`AsyncExecutor`."""

import asyncio
import itertools
import os

import pytest
from conftest import eventually
from tasks import add, fail, wait_for

import poolmap


def test_values_and_exceptions_are_awaited():
    async def main():
        async with poolmap.AsyncExecutor(2) as pool:
            assert await pool.run(add, 1, b=2) == 3
            with pytest.raises(ValueError):
                await pool.run(fail, "x")
            return sorted([value async for value in pool.as_completed(add, ((n,) for n in range(2000)))])

    assert asyncio.run(main()) == list(range(1, 2001))


def test_tuples_are_read_as_they_are_needed():
    async def main():
        async with poolmap.AsyncExecutor(2) as pool:
            tuples = zip(itertools.count())
            values = pool.as_completed(add, tuples, ahead=5)
            first = [await values.__anext__() for _ in range(10)]
            await values.aclose()
            return first, next(tuples)[0]

    first, read = asyncio.run(main())
    assert len(first) == 10 and read <= 16


def test_cancelling_what_is_awaited_stops_the_task(tmp_path):
    path = str(tmp_path / "never")

    async def main():
        async with poolmap.AsyncExecutor(1) as pool:
            running = asyncio.ensure_future(pool.run(wait_for, path))
            await asyncio.get_running_loop().run_in_executor(
                None, lambda: eventually(lambda: os.path.exists(f"{path}.begun"))
            )
            running.cancel()
            return await pool.run(add, 1)

    assert asyncio.run(main()) == 2
