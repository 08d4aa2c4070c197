"""The library under pytest-asyncio in strict mode: a new loop for every test."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from tests.core import mxqtools

SUITE = """
import asyncio
import numpy as np
import pytest
import pytest_asyncio
import maccel_aio

X = np.arange(8, dtype=np.float32)


@pytest_asyncio.fixture
async def model():
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load({path!r}) as model:
        yield model


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared():
    async with maccel_aio.load({path!r}) as model:
        yield model


@pytest.mark.asyncio
@pytest.mark.parametrize("index", range(5))
async def test_each_test_has_its_loop(model, index):
    ys = await asyncio.gather(*(model.infer(X + i) for i in range(20)))
    for i, (y,) in enumerate(ys):
        np.testing.assert_array_equal(y, X + i + 1)


@pytest.mark.asyncio
@pytest.mark.parametrize("index", range(5))
async def test_a_model_of_another_loop_may_be_used(shared, index):
    np.testing.assert_array_equal((await shared.infer(X))[0], X + 1)


@pytest.mark.asyncio
async def test_native_cancellation_and_timeouts(model):
    task = asyncio.create_task(model.infer(X))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await model.infer(X)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(model.infer(X + i)) for i in range(4)]
    assert [t.result()[0][0] for t in tasks] == [1, 2, 3, 4]
    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(model.infer(X))
            group.create_task(model.infer(np.zeros(3)))


@pytest.mark.asyncio
async def test_a_failing_sibling_cancels(model):
    job = model.try_submit(X)
    waiter = asyncio.ensure_future(asyncio.wait_for(asyncio.shield(_await(job)), 5))
    np.testing.assert_array_equal((await waiter)[0], X + 1)


async def _await(job):
    return await job
"""


def test_a_suite_of_pytest_asyncio_passes(tmp_path: Path) -> None:
    path = mxqtools.plus(tmp_path / "plus.mxq", 8)
    (tmp_path / "test_suite.py").write_text(SUITE.format(path=str(path)))
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = strict\nasyncio_default_fixture_loop_scope = function\n"
        "filterwarnings = error\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:anyio", "-p", "no:cacheprovider", "."],
        cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 passed" in done.stdout


def test_plain_asyncio_gathers(tmp_path: Path) -> None:
    """No test plugin at all: asyncio.run and gather."""
    import numpy as np

    import maccel_aio

    path = mxqtools.plus(tmp_path / "plus.mxq", 8)

    async def main() -> None:
        async with maccel_aio.load(path) as model:
            zeros = np.zeros(8, np.float32)
            ys = await asyncio.gather(*(model.infer(zeros + i) for i in range(64)))
            assert [y[0][0] for y in ys] == [i + 1 for i in range(64)]

    asyncio.run(main())
