"""How many tasks a pool runs at once."""

from . import _native


def pool_size(divisor=2, max_workers=None, platform_limit="auto"):
    """`ceil(processors / divisor)`, at most `max_workers`, at most the platform's limit, at least 1.

    Processors are those that this process may use: its affinity mask and its control groups count. `divisor` is at least 1,
    else ValueError. A `max_workers` of None or at most 0 is no maximum. `platform_limit` concerns Windows alone: "auto"
    (3969 from Python 3.14 on, else 61), "strict" (61) or "off".
    """
    return _native.pool_size(float(divisor), max_workers, platform_limit)
