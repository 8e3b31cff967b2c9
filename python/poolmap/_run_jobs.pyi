from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import Any, Literal, TypeVar

_T = TypeVar("_T")

def run_jobs(
    functions: Iterable[Callable[..., _T]],
    args: Iterable[Iterable[Any]] | None = None,
    kwargs: Iterable[Mapping[str, Any]] | None = None,
    workers: int | None = None,
    order: Literal["completed", "submitted"] = "completed",
    *,
    cluster: str | PathLike[str] | Literal[True] | None = None,
    ship: Iterable[str | PathLike[str]] = (),
) -> list[_T]: ...
