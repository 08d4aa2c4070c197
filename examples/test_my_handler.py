"""How a program tests its own handler against an NPU that is slow, full, failing or lost.

pytest examples/test_my_handler.py
"""

from pathlib import Path

import anyio
import numpy as np
import pytest

import maccel_aio
from maccel_aio import testing

X = np.zeros(8, np.float32)
pytestmark = pytest.mark.anyio


async def handler(model: maccel_aio.Model) -> tuple[int, str]:
    """What is tested: a request becomes a status code and a text."""
    try:
        (y,) = await model.infer(X, deadline=0.5)
    except (maccel_aio.QueueFullError, maccel_aio.DeadlineError):
        return 503, "busy"
    except maccel_aio.DeviceLostError:
        return 500, "no device"
    return 200, str(y[0])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return testing.tiny_model(tmp_path / "tiny.mxq")


async def test_it_answers(path: Path) -> None:
    async with maccel_aio.load(path) as model:
        assert await handler(model) == (200, "1.0")


async def test_it_sheds_load(path: Path) -> None:
    codes = []
    async with (
        testing.faulty_accelerator(delay=0.1) as accelerator,
        accelerator.load(path, max_inflight=1, max_waiting=1) as model,
    ):

        async def client() -> None:
            codes.append((await handler(model))[0])

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(client)
    assert sorted(codes) == [200, 200, 503, 503, 503]


async def test_it_survives_the_loss_of_its_device(path: Path) -> None:
    recorder = testing.Recorder()
    async with (
        testing.faulty_accelerator(lose_after=1) as accelerator,
        accelerator.load(path, hooks=recorder) as model,
    ):
        assert [(await handler(model))[0] for _ in range(3)] == [200, 500, 500]
    assert recorder.outcomes()["done"] == 1
