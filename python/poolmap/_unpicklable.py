"""Says what of a value cannot be pickled: which argument, item or attribute, and what to do about it."""

import pickle

_DEPTH_MAX = 6
_ITEMS_MAX = 1000


def explained(value, what, error):
    """An exception like `error` that tells where in `value`, which is `what`, the trouble is."""
    path, culprit = _find(value, what, _dumps, _DEPTH_MAX)
    text = f"cannot pickle {path}, of type {_type_name(culprit)}: {error}"
    return _as(error, f"{text}\n{_advice(culprit)}")


def explained_call(function, arguments, keywords, error):
    """The same of a call."""
    name = getattr(function, "__qualname__", repr(function))
    places = [(f"argument {place + 1} of {name}()", value) for place, value in enumerate(arguments)]
    places += [(f"argument '{key}' of {name}()", value) for key, value in (keywords or {}).items()]
    for what, value in places:
        if not _works(value, _dumps):
            return explained(value, what, error)
    return _as(error, f"cannot pickle the arguments of {name}(): {error}")


def _dumps(value):
    import cloudpickle

    return cloudpickle.dumps(value, 5)


def _works(value, dumps):
    try:
        dumps(value)
    except Exception:
        return False
    return True


def _find(value, path, dumps, depth):
    """The innermost part of a value that cannot be pickled, and the way to it."""
    if depth:
        for name, part in _parts(value):
            if not _works(part, dumps):
                return _find(part, f"{path}{name}", dumps, depth - 1)
    return path, value


def _parts(value):
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", part) for key, part in list(value.items())[:_ITEMS_MAX])
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{place}]", part) for place, part in enumerate(value[:_ITEMS_MAX]))
    else:
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict) and not isinstance(value, type):
            yield from ((f".{name}", part) for name, part in attributes.items())
        closure = getattr(value, "__closure__", None)
        if closure:
            names = value.__code__.co_freevars
            cells = ((f" (its variable '{name}')", cell) for name, cell in zip(names, closure))
            yield from ((name, cell.cell_contents) for name, cell in cells)


def _type_name(value):
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _advice(value):
    kind = type(value).__name__
    if kind in ("lock", "RLock", "Condition", "Event", "Semaphore"):
        return "Leave it out, or make it where the task runs; processes share no locks."
    if kind in ("generator", "async_generator", "coroutine"):
        return "Pass its items in a list."
    if kind in ("socket", "Connection", "Cursor", "TextIOWrapper", "BufferedReader", "BufferedWriter"):
        return "Open it where the task runs, say in the initializer, and pass what it takes to open it."
    return "Leave it out of what is passed (a __getstate__ method can do so), or make it where the task runs."


def _as(error, text):
    kind = type(error) if type(error) in (TypeError, ValueError, AttributeError, pickle.PicklingError) else None
    return (kind or pickle.PicklingError)(text)
