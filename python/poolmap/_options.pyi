class Options(tuple[object, ...]):
    def __new__(
        cls,
        timeout: float | None,
        retries: int,
        crash_limit: int,
        max_tasks_per_child: int | None,
        max_child_rss: int | None,
        preload: tuple[str, ...],
        backend: str,
    ) -> Options: ...
    def but(self, **changes: float | None) -> Options: ...
    def of_job(self, is_here: bool = True) -> dict[str, object]: ...
