"""Exceptions that tell of dead processes. They are BrokenProcessPool, for code that expects one, though the pool goes on."""

from concurrent.futures.process import BrokenProcessPool


class TaskDied(BrokenProcessPool):
    """The process that ran this task died of it, as often as `crash_limit` allows. The text tells the signal or the exit
    code and what the process said last. All other tasks go on, and the executor takes more."""


class TaskOutOfMemory(TaskDied, MemoryError):
    """This task was killed because memory ran out."""


class TaskLost(TaskDied):
    """The worker that ran this task went away with it."""


class PoolBroken(BrokenProcessPool):
    """Nothing can be run: the initializer raised, or all workers are gone. The text says why."""
