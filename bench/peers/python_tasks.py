"""What the scripts of the Python rows run, beside `tasks.py`."""

import os
import time


def same(payload):
    return payload


def another(array):
    return array + 1


def wait_for_file(path):
    """Ends once there is such a file."""
    while not os.path.exists(path):
        time.sleep(0.01)
