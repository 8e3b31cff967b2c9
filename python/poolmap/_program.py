"""Where the `poolmap` program of this wheel lies."""

import os
import sys


def path():
    """The file of the program; raises FileNotFoundError if it is not there."""
    for folder in _folders():
        candidate = os.path.join(folder, "poolmap")
        if os.access(candidate, os.X_OK):
            return candidate
    raise FileNotFoundError(
        f"the program 'poolmap' that belongs to {os.path.dirname(__file__)} is not there; install the package again"
    )


def _folders():
    yield os.path.join(sys.prefix, "bin")
    # pip install --target puts it beside the package.
    yield os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bin")
    import sysconfig

    yield sysconfig.get_path("scripts")
    yield sysconfig.get_path("scripts", f"{os.name}_user")
