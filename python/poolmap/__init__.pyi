from . import joblib as joblib
from ._asyncio import AsyncExecutor as AsyncExecutor
from ._died import PoolBroken as PoolBroken
from ._died import TaskDied as TaskDied
from ._died import TaskLost as TaskLost
from ._died import TaskOutOfMemory as TaskOutOfMemory
from ._errors import RemoteError as RemoteError
from ._errors import TaskTimeout as TaskTimeout
from ._executor import Executor as Executor
from ._future import Future as Future
from ._pool import Pool as Pool
from ._run_jobs import run_jobs as run_jobs
from ._sizing import pool_size as pool_size

__all__ = [
    "AsyncExecutor",
    "Executor",
    "Future",
    "Pool",
    "PoolBroken",
    "RemoteError",
    "TaskDied",
    "TaskLost",
    "TaskOutOfMemory",
    "TaskTimeout",
    "pool_size",
    "run_jobs",
]
