"""What the tests share."""

import importlib
import os
import subprocess
import sys
import time

import pytest

import poolmap

PATIENCE_SECONDS = 20


def eventually(holds, seconds=PATIENCE_SECONDS):
    """Waits until a condition holds and returns what it gave."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = holds()
        if result:
            return result
        time.sleep(0.005)
    raise AssertionError("what was waited for did not happen")


def needed(name):
    """Imports a package that a test is about; where changes are checked, it must be there."""
    return importlib.import_module(name) if os.environ.get("CI") else pytest.importorskip(name)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def run_script(text, *arguments, **options):
    """Runs a program of its own and returns what it printed; it must succeed and say nothing on standard error."""
    ran = subprocess.run(
        [sys.executable, "-c", text, *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS,
        cwd=os.path.dirname(os.path.abspath(__file__)), **options,
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    return ran.stdout


@pytest.fixture
def pool():
    with poolmap.Executor(2) as executor:
        yield executor
