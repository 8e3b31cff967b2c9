from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from types import TracebackType
from typing import Any, Generic, Literal, TypeVar

from typing_extensions import Self

_S = TypeVar("_S")
_T = TypeVar("_T")
_Then = Callable[[_T], object] | None
_Else = Callable[[BaseException], object] | None

class Pool:
    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        maxtasksperchild: int | None = None,
        *,
        backend: Literal["process", "thread", "inline"] = "process",
        timeout: float | None = None,
        retries: int = 0,
        crash_limit: int = 3,
        max_child_rss: int | None = None,
        preload: Iterable[str] = (),
        cluster: str | PathLike[str] | Literal[True] | None = None,
        ship: Iterable[str | PathLike[str]] = (),
        cancel_running: bool = True,
    ) -> None: ...
    def apply(self, func: Callable[..., _T], args: Iterable[Any] = (), kwds: Mapping[str, Any] = {}) -> _T: ...
    def apply_async(
        self,
        func: Callable[..., _T],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: _Then[_T] = None,
        error_callback: _Else = None,
    ) -> AsyncResult[_T]: ...
    def map(self, func: Callable[[_S], _T], iterable: Iterable[_S], chunksize: int | None = None) -> list[_T]: ...
    def starmap(
        self, func: Callable[..., _T], iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[_T]: ...
    def map_async(
        self,
        func: Callable[[_S], _T],
        iterable: Iterable[_S],
        chunksize: int | None = None,
        callback: _Then[list[_T]] = None,
        error_callback: _Else = None,
    ) -> AsyncResult[list[_T]]: ...
    def starmap_async(
        self,
        func: Callable[..., _T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: _Then[list[_T]] = None,
        error_callback: _Else = None,
    ) -> AsyncResult[list[_T]]: ...
    def imap(self, func: Callable[[_S], _T], iterable: Iterable[_S], chunksize: int = 1) -> _Values[_T]: ...
    def imap_unordered(self, func: Callable[[_S], _T], iterable: Iterable[_S], chunksize: int = 1) -> _Values[_T]: ...
    def close(self) -> None: ...
    def terminate(self) -> None: ...
    def join(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

class AsyncResult(Generic[_T]):
    def __init__(self, callback: _Then[_T], error_callback: _Else) -> None: ...
    def get(self, timeout: float | None = None) -> _T: ...
    def wait(self, timeout: float | None = None) -> None: ...
    def ready(self) -> bool: ...
    def successful(self) -> bool: ...

class _Values(Generic[_T]):
    def __init__(self, results: Iterator[_T]) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> _T: ...
    def next(self, timeout: float | None = None) -> _T: ...
    def close(self) -> None: ...
