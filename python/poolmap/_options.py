"""The options that tasks can have, checked."""

import os
import sys


class Options(tuple):
    """How tasks are tried, and what kind of process runs them. Two that are equal share their processes."""

    __slots__ = ()
    _NAMES = ("timeout", "retries", "crash_limit", "max_tasks_per_child", "max_child_rss", "preload", "backend")

    def __new__(cls, timeout, retries, crash_limit, max_tasks_per_child, max_child_rss, preload, backend):
        if timeout is not None and not (_is_number(timeout) and timeout > 0):
            raise ValueError(f"timeout must be a number of seconds greater than 0, or None, not {timeout!r}")
        if timeout is not None and backend == "thread":
            raise ValueError("timeout: a task cannot be stopped alone in a process that it shares; use backend='process'")
        _check_count("retries", retries, 0)
        _check_count("crash_limit", crash_limit, 1)
        if max_tasks_per_child is not None:
            _check_count("max_tasks_per_child", max_tasks_per_child, 1)
        if max_child_rss is not None:
            _check_count("max_child_rss", max_child_rss, 1)
        values = (timeout, retries, crash_limit, max_tasks_per_child, max_child_rss, preload, backend)
        return super().__new__(cls, values)

    def but(self, **changes):
        """These options with changes; None changes nothing."""
        unknown = changes.keys() - set(self._NAMES[:3])
        if unknown:
            raise TypeError(f"options are {', '.join(self._NAMES[:3])}, not {', '.join(sorted(unknown))}")
        values = dict(zip(self._NAMES, self))
        values.update((name, value) for name, value in changes.items() if value is not None)
        return Options(**values)

    def of_job(self, is_here=True):
        """As the native half takes them. On other machines it is their workers that know the interpreter and the folder."""
        timeout, retries, crash_limit, max_tasks_per_child, max_child_rss, preload, backend = self
        return {
            "python": sys.executable if is_here else "",
            "backend": backend,
            "directory": os.fsencode(os.getcwd()) if is_here else b"",
            "max_tasks_per_child": max_tasks_per_child or 0,
            "max_child_rss": max_child_rss or 0,
            "timeout_ms": 0 if timeout is None else max(1, round(timeout * 1000)),
            "retries": retries,
            "crash_limit": crash_limit,
            "preload": list(preload),
        }


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_count(name, value, least):
    if not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} must be >= {least}" if name != "max_tasks_per_child" else f"{name} must be >= 1")
