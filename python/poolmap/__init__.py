"""pool.map for one machine or a thousand: drop-in executors whose tasks run in poolmap's pool.

    with poolmap.Executor() as pool:
        for future in concurrent.futures.as_completed([pool.submit(do_work, *t) for t in tuples]):
            print(future.result())

Names are loaded when they are first used, since half of them need half of the standard library.
"""

_PLACES = {
    "AsyncExecutor": "_asyncio",
    "Executor": "_executor",
    "Future": "_future",
    "Pool": "_pool",
    "PoolBroken": "_died",
    "RemoteError": "_errors",
    "TaskDied": "_died",
    "TaskLost": "_died",
    "TaskOutOfMemory": "_died",
    "TaskTimeout": "_errors",
    "pool_size": "_sizing",
    "run_jobs": "_run_jobs",
}

__all__ = sorted(_PLACES)


def __getattr__(name):
    place = _PLACES.get(name)
    if place is None:
        # `poolmap.joblib.register()` works without a further import.
        if name != "joblib":
            raise AttributeError(f"module 'poolmap' has no attribute '{name}'")
        from importlib import import_module

        return import_module("poolmap.joblib")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"poolmap.{place}"), name)
    return value


def __dir__():
    return [*__all__, "joblib"]
