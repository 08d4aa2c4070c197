"""The list of intended differences is true, and it is the one that the page shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compat.differences import DIFFERENCES
from tests.compat.vendor import theirs

ROOT = Path(__file__).parents[2]
CASES = [(key, name) for key, row in DIFFERENCES.items() for name in row.packages]


def behaviour(module: str, program: str) -> tuple[int, str, str]:
    code = f"import {module} as p\n{program}"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT,
        check=False,
    )
    problem = ended.stderr.strip().splitlines()
    return ended.returncode, ended.stdout, problem[-1].split(":")[0] if problem else ""


@pytest.mark.parametrize(("key", "name"), CASES)
def test_a_listed_difference_is_one(key: str, name: str) -> None:
    theirs(name)
    program = DIFFERENCES[key].program
    assert behaviour(name, program) != behaviour(f"maccel_aio.compat.{name}", program)


def test_the_page_lists_exactly_these() -> None:
    page = (ROOT / "docs/compat.md").read_text()
    table = page.partition("## Intended differences")[2]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == set(DIFFERENCES)
