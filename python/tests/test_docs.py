"""The documentation: every program in it runs, and says what it is shown to say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from clusters import Cluster
from conftest import needed

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGES = [DOCS / "python.md", *sorted((DOCS / "python").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def programs():
    for page in PAGES:
        for place, text in enumerate(BLOCK.findall(page.read_text())):
            yield pytest.param(text, id=f"{page.stem}-{place}")


@pytest.fixture(scope="module")
def access(tmp_path_factory):
    with Cluster(str(tmp_path_factory.mktemp("cluster"))) as cluster:
        cluster.add_worker(slots=2)
        yield cluster.access


@pytest.mark.parametrize("text", list(programs()))
def test_a_program_of_the_documentation_runs(text, access, tmp_path):
    for package in ("joblib", "sklearn"):
        if package in text:
            needed(package)
    (tmp_path / "program.py").write_text(text)
    ran = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=50,
        env={**os.environ, "POOLMAP_ACCESS": access},
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    assert ran.stdout or "print" not in text


def test_every_page_is_linked_and_its_message_is_what_is_said():
    index = PAGES[0].read_text()
    assert all(f"python/{page.name}" in index for page in PAGES[1:])
    page = (DOCS / "python" / "hangs.md").read_text()
    program = next(text for text in BLOCK.findall(page) if "Lock()" in text)
    shown = re.search(r"\n\n```\n(.*?)```\n", page, re.DOTALL).group(1)
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == shown
