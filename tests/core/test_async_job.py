"""The short way of calls that are alone and brief, and of models that run inline."""

import asyncio

import anyio
import anyio.lowlevel
import numpy as np
import pytest
import trio
import uvloop

import maccel_aio
from tests.core import mxqtools

X = np.arange(8, dtype=np.float32)
RUNNERS = {
    "asyncio": lambda main: asyncio.run(main()),
    "uvloop": lambda main: uvloop.run(main()),
    "trio": trio.run,
}


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("inline", [False, True])
def test_results_and_counters_are_those_of_the_long_way(plus_path, runner, inline):
    async def main():
        async with maccel_aio.Accelerator("soft:0") as acc:
            model = await acc.load(plus_path, inline=inline)
            before = acc.stats().completed
            kept = []
            for number in range(200):
                kept += await model.infer(X + number)
            for number, y in enumerate(kept):
                np.testing.assert_array_equal(y, X + number + 1)
            (batch,) = await model.infer(np.stack([X, X * 2]))
            np.testing.assert_array_equal(batch, np.stack([X, X * 2]) + 1)
            stats = model.stats()
            assert (stats.in_flight, stats.waiting, stats.failed) == (0, 0, 0)
            assert acc.stats().completed - before == 201
            assert acc.stats().stale == acc.stats().overflow == 0

    RUNNERS[runner](main)


@pytest.mark.parametrize("inline", [False, True])
async def test_brief_requests_do_not_starve_the_loop(plus_path, inline):
    async with maccel_aio.Accelerator("soft:0") as acc:
        model = await acc.load(plus_path, inline=inline)
        for _ in range(20):
            await model.infer(X)
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            group.start_soon(count)
            for _ in range(320):
                await model.infer(X)
            group.cancel_scope.cancel()
        assert turns >= 320 // 16 - 1


async def test_a_cancellation_arrives_between_brief_requests(plus_path):
    async with maccel_aio.Accelerator("soft:0") as acc:
        model = await acc.load(plus_path, inline=True)

        async def forever():
            while True:
                await model.infer(X)

        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.05):
                await forever()
        assert model.stats().in_flight == 0


async def test_inline_requests_among_queued_ones(plus_path):
    async with maccel_aio.Accelerator("soft:0") as acc:
        model = await acc.load(plus_path, inline=True)

        async def worker(number):
            for turn in range(50):
                job = model.try_submit(X + turn)
                (y,) = await model.infer(X + number)
                np.testing.assert_array_equal(y, X + number + 1)
                np.testing.assert_array_equal((await job)[0], X + turn + 1)

        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(worker, number)
        stats = model.stats()
        assert stats.in_flight == 0
        assert stats.completed == stats.submitted


async def test_a_slow_device_takes_the_long_way(plus_path):
    async with maccel_aio.Accelerator("fault:soft:0?delay_ms=5") as acc:
        model = await acc.load(plus_path)
        for number in range(20):
            (y,) = await model.infer(X + number)
            np.testing.assert_array_equal(y, X + number + 1)


async def test_errors_of_the_short_way(plus_path):
    async with maccel_aio.Accelerator("fault:soft:0?fail_every=7") as acc:
        model = await acc.load(plus_path)
        failed = 0
        for _ in range(70):
            try:
                await model.infer(X)
            except maccel_aio.InferenceError:
                failed += 1
        assert failed == 10
        assert model.stats().failed == 10
        assert model.stats().in_flight == 0
        await model.aclose()
        with pytest.raises(maccel_aio.ClosedError):
            await model.infer(X)


async def test_inline_refuses_what_takes_long(tmp_path):
    path = mxqtools.plus(tmp_path / "large.mxq", 4_000_000)
    async with maccel_aio.Accelerator("soft:0") as acc:
        with pytest.raises(maccel_aio.UnsupportedError, match="inline is for those"):
            await acc.load(path, inline=True)
        assert acc.stats().running == 0
