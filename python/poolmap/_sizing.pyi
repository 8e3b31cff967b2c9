from typing import Literal

def pool_size(
    divisor: float = 2, max_workers: int | None = None, platform_limit: Literal["auto", "strict", "off"] = "auto"
) -> int: ...
