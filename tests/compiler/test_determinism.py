"""The same model and the same samples give the same bytes, whatever process compiles them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


def compiled(path: Path, accuracy: str, seed: str) -> bytes:
    """Compile in a new interpreter, whose sets and dictionaries of text hash by `seed`."""
    environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(_ROOT)}
    subprocess.run(
        [sys.executable, "-m", "tests.compiler.determinism_worker", str(path), accuracy],
        env=environment,
        cwd=_ROOT,
        check=True,
    )
    return path.read_bytes()


@pytest.mark.parametrize("accuracy", ["none", "45"])
def test_two_processes_write_the_same_bytes(tmp_path: Path, accuracy: str) -> None:
    one = compiled(tmp_path / "model.mxq", accuracy, "1")
    other = compiled(tmp_path / "model.mxq", accuracy, "2")
    assert one == other
