"""The cancellation contract, line by line: prompt for the caller, safe for the memory."""

import gc

import anyio
import numpy as np
import pytest

import maccel_aio
from maccel_aio import CancelOutcome, JobState
from maccel_aio._core import _guard

X = np.arange(8, dtype=np.float32)
SLOW = "fault:soft:0?delay_ms=60"
HANGS = "fault:soft:0?hang_every=1"


async def until(condition):
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - counters, not events
            await anyio.sleep(0.001)


async def test_waiting_for_a_credit_ends_at_once(plus_path):
    async with maccel_aio.Accelerator(SLOW) as acc, acc.load(plus_path, max_inflight=1) as model:
        async with anyio.create_task_group() as group:
            group.start_soon(model.infer, X)
            await until(lambda: model.stats().in_flight == 1)
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as inner:
                    inner.start_soon(model.infer, X)
                    await until(lambda: model.stats().waiting == 1)
                    scope.cancel()
            assert scope.cancelled_caught
            assert (model.stats().waiting, model.stats().in_flight) == (0, 1)
        assert model.stats().submitted == 1


async def test_a_cancelled_waiter_hands_its_credit_on(plus_path):
    async with maccel_aio.Accelerator(SLOW) as acc, acc.load(plus_path, max_inflight=1) as model:
        done = []

        async def one(index):
            await model.infer(X)
            done.append(index)

        async with anyio.create_task_group() as group:
            group.start_soon(one, 0)
            await until(lambda: model.stats().in_flight == 1)
            scope = anyio.CancelScope()

            async def doomed():
                with scope:
                    await one(1)

            group.start_soon(doomed)
            await until(lambda: model.stats().waiting == 1)
            group.start_soon(one, 2)
            await until(lambda: model.stats().waiting == 2)
            scope.cancel()
        assert done == [0, 2]


async def test_a_queued_request_is_removed_and_never_runs(plus_path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?cores=1&delay_ms=60") as acc,
        acc.load(plus_path) as model,
    ):
        first = await model.submit(X)
        second = await model.submit(X)
        await until(lambda: acc.stats().running >= 1)
        assert second.cancel() is CancelOutcome.REMOVED
        assert second.done()
        with pytest.raises(maccel_aio.CancelledRequestError):
            await second
        np.testing.assert_array_equal((await first)[0], X + 1)
        await until(lambda: model.stats().in_flight == 0)
        assert (model.stats().completed, model.stats().cancelled) == (1, 1)


async def test_a_running_request_is_abandoned_and_keeps_its_credit(plus_path):
    async with maccel_aio.Accelerator(SLOW) as acc, acc.load(plus_path) as model:
        with anyio.move_on_after(0.02) as scope:
            await model.infer(X)
        assert scope.cancelled_caught
        stats = model.stats()
        assert (stats.abandoned, stats.in_flight) == (1, 1)
        await until(lambda: model.stats().in_flight == 0)
        assert model.stats().abandoned == 0


async def test_out_is_safe_when_a_cancelled_call_returns(plus_path):
    async with maccel_aio.Accelerator(SLOW) as acc, acc.load(plus_path) as model:
        out = np.zeros(8, np.float32)
        with anyio.move_on_after(0.02) as scope:
            await model.infer(X, out=[out])
        assert scope.cancelled_caught
        assert model.stats().in_flight == 0  # it waited for the device
        out[:] = -1
        await anyio.sleep(0.1)
        assert (out == -1).all()


async def test_out_of_a_hung_device_is_quarantined(plus_path):
    async with maccel_aio.Accelerator(HANGS) as acc:
        async with acc.load(plus_path, cancel_grace=0.05) as model:
            out = np.zeros(8, np.float32)
            with anyio.move_on_after(0.02) as scope:
                await model.infer(X, out=[out])
            assert scope.cancelled_caught
            assert _guard.claims() == 1
            with pytest.raises(maccel_aio.BufferInUseError):
                await model.infer(X, out=[out[::-1]])
            report = await model.aclose(drain=0.1)
            assert report == (0, 1, True)
        await acc.aclose(drain=0.5)
    await until(lambda: gc.collect() >= 0 and _guard.claims() == 0)


async def test_out_in_use_is_refused_while_its_request_runs(plus_path):
    async with maccel_aio.Accelerator(SLOW) as acc, acc.load(plus_path) as model:
        out = np.zeros((2, 8), np.float32)
        job = await model.submit(X, out=[out[0]])
        other = await model.submit(X, out=[out[1]])
        with pytest.raises(maccel_aio.BufferInUseError):
            model.try_submit(X, out=[out[0]])
        await job
        await other
        (again,) = await model.infer(X, out=[out[0]])
        np.testing.assert_array_equal(again, X + 1)


async def test_one_cancelled_of_many_harms_no_other(plus_path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?delay_ms=10") as acc,
        acc.load(plus_path) as model,
    ):
        for victim in range(4):
            results = [None] * 8

            async def one(index, scope, results=results):
                with scope:
                    (results[index],) = await model.infer(X + index)

            scopes = [anyio.CancelScope() for _ in range(8)]
            async with anyio.create_task_group() as group:
                for index in range(8):
                    group.start_soon(one, index, scopes[index])
                await anyio.sleep(0.005)
                scopes[victim].cancel()
            for index in range(8):
                if index != victim:
                    np.testing.assert_array_equal(results[index], X + index + 1)


async def test_retry_storms_never_exceed_the_credits(plus_path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?delay_ms=5") as acc,
        acc.load(plus_path, max_inflight=4) as model,
    ):
        peak = 0

        async def stormy():
            nonlocal peak
            for _ in range(10):
                with anyio.move_on_after(0.004):
                    await model.infer(X)
                peak = max(peak, model.stats().in_flight)

        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(stormy)
        assert peak <= 4
        await until(lambda: model.stats().in_flight == 0)
        (y,) = await model.infer(X)
        np.testing.assert_array_equal(y, X + 1)


async def test_awaiting_a_job_is_passive(plus_path):
    async with maccel_aio.Accelerator(SLOW) as acc, acc.load(plus_path) as model:
        job = await model.submit(X)
        with anyio.move_on_after(0.01):
            await job
        assert job.state is JobState.QUEUED
        np.testing.assert_array_equal((await job)[0], X + 1)
        assert job.cancel() is CancelOutcome.DONE


async def test_cancelling_a_job_completes_those_who_await_it(plus_path):
    async with maccel_aio.Accelerator(HANGS) as acc, acc.load(plus_path) as model:
        job = await model.submit(X)
        caught = []

        async def waits():
            with pytest.raises(maccel_aio.CancelledRequestError):
                await job
            caught.append(1)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(waits)
            await anyio.sleep(0.02)
            assert job.cancel() is CancelOutcome.ABANDONED
        assert caught == [1, 1, 1]
        await model.aclose(drain=0.05)
        await acc.aclose(drain=0.5)


async def test_work_that_was_cancelled_before_it_began_is_not_submitted(plus):
    with anyio.CancelScope() as scope:
        scope.cancel()
        await plus.submit(np.zeros(1 << 20, np.float64)[:8].repeat(1))
    with anyio.move_on_after(0):
        await plus.infer(X)
    await until(lambda: plus.stats().in_flight == 0)
