"""The stubs, as mypy and pyright read them, and as they compare with the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import needed

TYPING = Path(__file__).parent / "typing"
STUBS = sorted((Path(__file__).parent.parent / "poolmap").glob("*.pyi"))


def said(*words):
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, cwd=TYPING)


def refused_lines():
    lines = (TYPING / "misuses.py").read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# refused")}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("words", "good"),
    [
        (("mypy", "--strict"), ["uses.py", *map(str, STUBS)]),
        (("pyright", "--pythonpath", sys.executable), ["--project", "."]),
    ],
)
def test_type_checkers_understand_the_package_and_the_stubs(words, good):
    needed(words[0])
    understood = said(*words, *good)
    assert understood.returncode == 0, understood.stdout
    bad = said(*words, "misuses.py")
    found = {int(number) for number in re.findall(r"misuses\.py:(\d+)(?::\d+)?\D*? error", bad.stdout)}
    assert found == refused_lines(), bad.stdout


@pytest.mark.timeout(300)
def test_the_stubs_say_what_the_code_has():
    needed("mypy")
    names = [stub.stem for stub in STUBS if stub.stem != "__init__"]
    compared = said("mypy.stubtest", *(f"poolmap.{name}" for name in names))
    assert compared.returncode == 0, compared.stdout
