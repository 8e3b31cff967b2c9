"""What the tests share."""

import glob
import importlib
import os
import shutil
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


def other_python():
    """An interpreter of another version than this one, which a test is about; where changes are checked, there must be one."""
    names = [f"python3.{minor}" for minor in range(9, 15) if minor != sys.version_info[1]]
    folders = [*os.environ["PATH"].split(os.pathsep), *glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin"))]
    # Where pyenv is, what is on the search path may be a script of its, which finds no such version.
    found = [path for path in (shutil.which(name, path=folder) for folder in folders for name in names) if path]
    found = [path for path in found if subprocess.run([path, "-c", ""], capture_output=True).returncode == 0]
    if not found and not os.environ.get("CI"):
        pytest.skip("there is no other version of Python here")
    return found[0]


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
