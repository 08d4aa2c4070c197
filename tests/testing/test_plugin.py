"""The fixtures work under the plugin of anyio and under pytest-asyncio, and only when asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import asyncio
import gc
import numpy as np
import pytest
import maccel_aio

pytest_plugins = ["maccel_aio.testing.plugin"]
X = np.zeros(8, np.float32)


@pytest.mark.{mark}
@pytest.mark.parametrize("run", range(2))
async def test_a_handler(maccel_tiny_model, maccel_faulty, maccel_recorder, maccel_no_leaks, run):
    failed = 0
    async with maccel_faulty(fail_every=2) as acc:
        async with acc.load(maccel_tiny_model(), hooks=maccel_recorder) as model:
            for _ in range(4):
                try:
                    await model.infer(X)
                except maccel_aio.InferenceError:
                    failed += 1
    assert failed == 2
    assert maccel_recorder.outcomes() == {{"done": 2, "InferenceError": 2}}


kept = []


def test_a_leak(maccel_no_leaks, maccel_faulty):
    kept.append(maccel_faulty())
    kept[0].open_blocking()
"""


@pytest.mark.parametrize(
    ("mark", "other", "passed"), [("asyncio", "no:anyio", 3), ("anyio", "no:asyncio", 5)]
)
def test_a_suite_that_uses_the_fixtures(tmp_path, mark, other, passed):
    (tmp_path / "test_suite.py").write_text(SUITE.format(mark=mark))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")  # or a file further up is taken
    command = [sys.executable, "-m", "pytest", "-q", "-p", other, "-p", "no:cacheprovider", "."]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert f"{passed} passed" in done.stdout, done.stdout + done.stderr
    assert "left open: fault:soft:0" in done.stdout
    assert "1 error" in done.stdout


def test_the_module_needs_no_pytest():
    code = "import sys, maccel_aio.testing; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
