"""Tuples for the programs that start a cluster of their own, and their times."""

import json
import sys
import time


def tuples(count):
    return [(i, i + 1, i + 2) for i in range(count)]


class Clock:
    """How long the cluster took to start, and how many tasks a second its job had then."""

    def __init__(self):
        self.started = time.monotonic()

    def up(self):
        self.joined = time.monotonic()

    def done(self, count):
        self.tasks_per_s = count / (time.monotonic() - self.joined)

    def tell(self):
        """On the last line of stderr, so after the cluster's own last words."""
        report = {"up_s": self.joined - self.started, "tasks_per_s": self.tasks_per_s}
        print(json.dumps(report), file=sys.stderr)
