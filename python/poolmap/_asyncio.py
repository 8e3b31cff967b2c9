"""Tasks for asyncio: `AsyncExecutor`."""

import asyncio
import functools

from ._executor import Executor

_AHEAD = 1000


class AsyncExecutor:
    """An executor for coroutines. Its arguments are those of `Executor`.

        async with poolmap.AsyncExecutor() as pool:
            value = await pool.run(f, 1, 2)
            async for value in pool.as_completed(f, tuples):
                ...

    Cancelling what is awaited cancels the task.
    """

    def __init__(self, *args, **kwargs):
        self._executor = Executor(*args, **kwargs)

    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, value, traceback):
        end = functools.partial(self._executor.__exit__, kind, value, traceback)
        await asyncio.get_running_loop().run_in_executor(None, end)

    async def run(self, fn, /, *args, **kwargs):
        """The value of `fn(*args, **kwargs)`, or the exception that it raises."""
        return await asyncio.wrap_future(self._executor.submit(fn, *args, **kwargs))

    async def as_completed(self, fn, tuples, *, ahead=_AHEAD):
        """The values of `fn(*tuple)` as they come. `tuples` is read lazily, so many tuples `ahead` of the values."""
        loop, done, running = asyncio.get_running_loop(), asyncio.Queue(), set()

        def tell(future):
            if not future.cancelled():
                loop.call_soon_threadsafe(done.put_nowait, future)

        tuples = iter(tuples)
        try:
            while True:
                while len(running) < ahead and (arguments := next(tuples, None)) is not None:
                    future = self._executor.submit(fn, *arguments)
                    running.add(future)
                    future.add_done_callback(tell)
                if not running:
                    return
                future = await done.get()
                running.discard(future)
                yield future.result()
        finally:
            for future in running:
                future.cancel()
