from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, Literal, TypeVar

from typing_extensions import ParamSpec, Self

_P = ParamSpec("_P")
_T = TypeVar("_T")

class AsyncExecutor:
    def __init__(
        self,
        max_workers: int | None = None,
        max_tasks_per_child: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        backend: Literal["process", "thread", "inline"] = "process",
        timeout: float | None = None,
        retries: int = 0,
        crash_limit: int = 3,
        max_child_rss: int | None = None,
        preload: Sequence[str] = (),
        cluster: str | PathLike[str] | Literal[True] | None = None,
        ship: Iterable[str | PathLike[str]] = (),
        cancel_running: bool = True,
    ) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    async def run(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T: ...
    def as_completed(
        self, fn: Callable[..., _T], tuples: Iterable[Iterable[Any]], *, ahead: int = 1000
    ) -> AsyncIterator[_T]: ...
