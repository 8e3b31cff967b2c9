"""Reading the calls of the uneven and payload rows, writing their results, and telling how long the pool itself took."""

import json
import sys
import time
from contextlib import contextmanager


def read(source):
    """The only argument of each call: INPUT has one array of one item a line."""
    with open(source) as lines:
        return [json.loads(line)[0] for line in lines]


def write(target, results):
    with open(target, "w") as out:
        for result in results:
            out.write(json.dumps(result) + "\n")


@contextmanager
def reporting_seconds():
    start = time.monotonic()
    yield
    print(json.dumps({"call_s": time.monotonic() - start}), file=sys.stderr)
