"""The event loop of a slot, on which what `async def` functions return is awaited.

One loop serves all tasks of the slot's thread, so that clients and connections that a module keeps stay usable; what
a task has left pending does not live on into the next.
"""

import asyncio

_CANCEL_SECONDS = 1.0


class Loop:
    """An event loop that is made when it is first needed."""

    def __init__(self):
        self._loop = None

    def run(self, awaitable):
        """What the awaitable gives, or raises."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        try:
            return self._loop.run_until_complete(awaitable)
        finally:
            left = asyncio.all_tasks(self._loop)
            if left:
                self._cancel(left)

    def _cancel(self, left):
        for task in left:
            task.cancel()
        _, deaf = self._loop.run_until_complete(asyncio.wait(left, timeout=_CANCEL_SECONDS))
        if deaf:
            self._loop = None  # Tasks that take no cancellation keep this loop, which nothing runs any more.
