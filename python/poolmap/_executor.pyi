import concurrent.futures
from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from typing import Any, Literal, TypeVar

from typing_extensions import ParamSpec, Self

from ._options import Options

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Progress = bool | Callable[..., Iterable[Any]]

class _Submitting:
    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> concurrent.futures.Future[_T]: ...
    def map(
        self,
        fn: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        progress: _Progress = False,
    ) -> Iterator[_T]: ...

class Executor(_Submitting, concurrent.futures.Executor):
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
    def options(
        self, *, timeout: float | None = None, retries: int | None = None, crash_limit: int | None = None
    ) -> _WithOptions: ...
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None: ...
    def terminate(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __del__(self) -> None: ...

class _WithOptions(_Submitting):
    def __init__(self, executor: Executor, options: Options) -> None: ...
    def options(
        self, *, timeout: float | None = None, retries: int | None = None, crash_limit: int | None = None
    ) -> _WithOptions: ...

def refused(reason: str | None) -> Exception: ...
