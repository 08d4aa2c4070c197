"""Isolation: what becomes of one request never depends on what becomes of the others."""

import contextlib
import contextvars
import gc
from typing import Any

import anyio
import numpy as np
import pytest

import maccel_aio
from maccel_aio import CancelOutcome, JobState
from maccel_aio._typing import override

X = np.arange(8, dtype=np.float32)
ONE_CORE = "fault:soft:0?cores=1&delay_ms=40"
HANGS = "fault:soft:0?hang_every=1"
LOOPS = [
    pytest.param(("asyncio", {}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    pytest.param(("trio", {}), id="trio"),
]


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return request.param


async def until(condition):
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - counters, not events
            await anyio.sleep(0.001)


async def test_pitfall_17_waiters_that_give_up_release_their_inputs(plus_path):
    class Tracked(np.ndarray):
        alive = 0

        @override
        def __array_finalize__(self, other):
            Tracked.alive += 1

        def __del__(self):
            Tracked.alive -= 1

    async with maccel_aio.Accelerator(HANGS) as acc:
        model = await acc.load(plus_path, max_inflight=1, cancel_grace=0.01)
        hung = await model.submit(X)
        for _ in range(20):
            with anyio.move_on_after(0.001):
                await model.infer(np.zeros(8, np.float32).view(Tracked))
        gc.collect()
        assert Tracked.alive <= 1
        assert (model.stats().waiting, model.stats().in_flight) == (0, 1)
        hung.cancel()
        await acc.aclose(drain=0.05)


async def test_pitfall_18_an_expired_request_never_reaches_a_core(plus_path):
    async with maccel_aio.Accelerator(ONE_CORE) as acc:
        model = await acc.load(plus_path)
        model.set_profile(True)
        blocker = await model.submit(X)
        late = [await model.submit(X, deadline=0.001 * (1 + index)) for index in range(5)]
        await blocker
        for job in late:
            with pytest.raises(maccel_aio.DeadlineError):
                await job
            assert job.state is JobState.FAILED
        assert model.layer_times()[0].calls == 1
        assert (acc.stats().expired, acc.stats().completed) == (5, 1)
        assert model.stats().expired == 5


@pytest.mark.parametrize("limit", [1, 3])
async def test_pitfall_19_credits_hold_through_a_storm_of_retries(plus_path, limit):
    async with maccel_aio.Accelerator("fault:soft:0?delay_ms=2&fail_every=7") as acc:
        model = await acc.load(plus_path, max_inflight=limit)
        seen = set()

        async def storms(index):
            for round_ in range(8):
                with (
                    anyio.move_on_after(0.0005 * (1 + (index + round_) % 5)),
                    contextlib.suppress(maccel_aio.InferenceError),
                ):
                    await model.infer(X)
                stats = acc.stats()
                seen.add(stats.queued + stats.running)

        async with anyio.create_task_group() as group:
            for index in range(10):
                group.start_soon(storms, index)
        assert max(seen) <= limit
        await until(lambda: model.stats().in_flight == 0)
        stats = model.stats()
        assert stats.submitted == stats.completed + stats.failed + stats.cancelled


async def test_pitfall_20_one_failure_among_concurrent_requests_stays_alone(plus_path):
    async with maccel_aio.Accelerator("fault:soft:0?cores=1&fail_every=5") as acc:
        model = await acc.load(plus_path)
        ends: dict[int, Any] = {}

        async def one(index):
            job = await model.submit(X + index)
            try:
                (ends[index],) = await job
            except maccel_aio.InferenceError as problem:
                ends[index] = problem

        async with anyio.create_task_group() as group:
            for index in range(20):
                group.start_soon(one, index)
        failed = [index for index, end in ends.items() if isinstance(end, Exception)]
        assert len(failed) == 4
        for index in set(range(20)) - set(failed):
            np.testing.assert_array_equal(ends[index], X + index + 1)


async def test_pitfall_23_callbacks_see_their_context_and_none_is_lost(plus_path, caplog):
    name = contextvars.ContextVar("name", default="unset")
    seen = []
    async with maccel_aio.Accelerator(ONE_CORE) as acc:
        model = await acc.load(plus_path)
        job = await model.submit(X)
        for index in range(3):
            name.set(f"request {index}")
            job.add_done_callback(lambda _: seen.append(name.get()))
            job.add_done_callback(lambda _: [][0])
        given = contextvars.Context()
        given.run(name.set, "given")
        job.add_done_callback(lambda _: seen.append(name.get()), context=given)
        name.set("later")
        await job
        await until(lambda: len(seen) == 4)
    assert seen == ["request 0", "request 1", "request 2", "given"]
    assert caplog.text.count("IndexError") == 3


async def test_outcomes_do_not_change_when_the_model_is_closed(plus_path):
    """What a job's owner was told once stays true."""
    async with maccel_aio.Accelerator(ONE_CORE) as acc:
        model = await acc.load(plus_path)
        done, running, queued, other = [await model.submit(X) for _ in range(4)]
        await done
        await until(lambda: acc.stats().running == 1)
        assert running.cancel() is CancelOutcome.ABANDONED
        assert queued.cancel() is CancelOutcome.REMOVED
        await model.aclose(drain=10)
        assert done.result()[0][0] == 1
        for job in (running, queued):
            with pytest.raises(maccel_aio.CancelledRequestError):
                job.result()
        with pytest.raises(maccel_aio.ClosedError):
            other.result()
