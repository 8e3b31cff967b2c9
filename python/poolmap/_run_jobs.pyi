from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

_T = TypeVar("_T")

def run_jobs(
    functions: Iterable[Callable[..., _T]],
    args: Iterable[Iterable[Any]] | None = None,
    kwargs: Iterable[Mapping[str, Any]] | None = None,
    workers: int | None = None,
    order: Literal["completed", "submitted"] = "completed",
) -> list[_T]: ...
