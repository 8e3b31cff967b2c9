"""A list of calls, one list of results."""


def run_jobs(functions, args=None, kwargs=None, workers=None, order="completed", *, cluster=None, ship=()):
    """Runs `functions[i](*args[i], **kwargs[i])` for all i and returns their results.

    `args` and `kwargs` may be shorter than `functions`; what is missing is () and {}. Results come in order of completion, or
    with order="submitted" in that of `functions`. The first exception that a call raises is raised here, as it is; what has
    not begun by then never does. With `workers` <= 1 all runs here, one after another, and nothing is started. `cluster` and
    `ship` are those of `Executor`: all runs there.
    """
    if order not in ("completed", "submitted"):
        raise ValueError(f"order is 'completed' or 'submitted', not {order!r}")
    functions, args, kwargs = list(functions), list(args or ()), list(kwargs or ())
    for name, given in (("args", args), ("kwargs", kwargs)):
        if len(given) > len(functions):
            raise ValueError(f"there are {len(given)} {name} for {len(functions)} functions")
    args += [()] * (len(functions) - len(args))
    kwargs += [{}] * (len(functions) - len(kwargs))
    calls = list(zip(functions, args, kwargs))
    if cluster is not None:
        return _in_pool(calls, workers, order, {"cluster": cluster, "ship": ship})
    if workers is None and calls:
        from ._sizing import pool_size

        workers = pool_size()
    if not calls or workers <= 1:
        return [function(*arguments, **keywords) for function, arguments, keywords in calls]
    return _in_pool(calls, min(workers, len(calls)), order, {})


def _in_pool(calls, workers, order, place):
    from concurrent.futures import as_completed

    from ._executor import Executor

    with Executor(workers, **place) as executor:
        futures = [executor.submit(function, *arguments, **keywords) for function, arguments, keywords in calls]
        try:
            done = as_completed(futures) if order == "completed" else futures
            return [future.result() for future in done]
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
