"""The event loop is never blocked: not by loading, compiling, inference, streams or closing.

blockbuster fails any call in the loop's thread that waits for a file, a lock, a socket or a sleep.
What blocks without such a call, by computing, is seen by a ticker that must go on meanwhile.
"""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from blockbuster import BlockBuster, BlockingError, blockbuster_ctx

import maccel_aio
from tests import networks


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param == "uvloop", "debug": False}


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return networks.compile_to(tmp_path_factory.mktemp("loop"), networks.mixed(), "mixed")


@pytest.fixture
def guarded() -> Iterator[BlockBuster]:
    with blockbuster_ctx() as guard:
        yield guard


class Ticker:
    """Counts the turns of the event loop."""

    def __init__(self) -> None:
        self.turns = 0

    async def run(self) -> None:
        while True:
            self.turns += 1
            await anyio.sleep(0.001)


@asynccontextmanager
async def ticking() -> AsyncIterator[Ticker]:
    ticker = Ticker()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ticker.run)
        yield ticker
        tasks.cancel_scope.cancel()


async def test_the_guard_sees_a_blocking_call(guarded: BlockBuster) -> None:
    with pytest.raises(BlockingError):
        time.sleep(0.001)  # noqa: ASYNC251 - what the guard is there for


async def test_loading_inference_and_closing_never_block(
    guarded: BlockBuster, model_file: Path
) -> None:
    x = networks.samples(1)[0]
    accelerator = maccel_aio.Accelerator("soft:0")
    async with accelerator:
        model = await accelerator.load(model_file)
        await model.infer(x)
        await model.infer(networks.samples(4))
        await model.aclose()
    async with maccel_aio.load(model_file) as owned:
        await owned.infer(x)


async def test_submission_cancellation_and_deadlines_never_block(
    guarded: BlockBuster, model_file: Path
) -> None:
    x = networks.samples(1)[0]
    async with maccel_aio.load(model_file) as model:
        jobs = [await model.submit(x) for _ in range(8)]
        jobs[-1].cancel()
        for job in jobs[:-1]:
            await job
        with anyio.move_on_after(0):
            await model.infer(x)
        with pytest.raises(maccel_aio.DeadlineError):
            await model.infer(x, deadline=0.0)


async def test_a_stream_never_blocks(guarded: BlockBuster, model_file: Path) -> None:
    seen = 0
    async with (
        maccel_aio.load(model_file) as model,
        model.stream(list(networks.samples(20)), depth=4, prepare=lambda x: x) as stream,
    ):
        async for _ in stream:
            seen += 1
    assert seen == 20


async def test_a_failed_load_never_blocks(guarded: BlockBuster, tmp_path: Path) -> None:
    path = tmp_path / "bad.mxq"
    await anyio.Path(path).write_bytes(b"no model")
    with pytest.raises(maccel_aio.ModelFormatError):
        await maccel_aio.load(path)


async def test_the_loop_turns_while_the_compiler_works(tmp_path: Path) -> None:
    async with ticking() as ticker:
        await anyio.to_thread.run_sync(networks.compile_to, tmp_path, networks.mixed(), "compiled")
        turns = ticker.turns
    assert turns > 5


async def test_the_loop_turns_while_the_device_computes(model_file: Path) -> None:
    async with maccel_aio.load(model_file) as model, ticking() as ticker:
        batch = networks.samples(8192)
        await model.infer(batch)
        turns = ticker.turns
    assert turns > 5
