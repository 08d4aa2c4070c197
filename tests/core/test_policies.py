"""Schedules, latency sets and what becomes of requests that are too late.

Shown to fail: with ``link_in`` of the crew that knows no LIFO; with a submission that keeps the
priorities of FIFO models; with ``is_late`` that looks at the deadline alone; with ``_limit`` that
gives back the caller's deadline; with ``learn`` that remembers calls of models with a limit.
"""

import time

import anyio
import anyio.lowlevel
import numpy as np
import pytest

import maccel_aio
from maccel_aio import LatencySetPolicy, MaintenancePolicy, ModelConfig, SchedulePolicy
from tests.core import mxqtools
from tests.core.test_segments import doubling

X = np.arange(8, dtype=np.float32)
SLOW = "fault:soft:0?cores=1&delay_ms=120"
HOUR_US = 3_600_000_000


def config(**policies):
    made = ModelConfig(1)
    for name, value in policies.items():
        setattr(made, name, value)
    return made


async def taken(acc, model):
    """Submit a request and wait until the only core has it."""
    job = await model.submit(X)
    with anyio.fail_after(20):
        while not acc.stats().running:
            await anyio.lowlevel.checkpoint()
    return job


async def order_of(path, policy, priorities):
    """Return the order in which a core takes requests that all wait for it."""
    async with maccel_aio.Accelerator(SLOW) as acc:
        model = await acc.load(path, config(schedule_policy=policy), max_inflight=64)
        first = await taken(acc, model)
        jobs = [model.try_submit(X, priority=priority) for priority in priorities]
        for job in (first, *jobs):
            await job
        return sorted(range(len(jobs)), key=lambda index: jobs[index].timing.t_start)


@pytest.mark.parametrize(
    ("policy", "order"),
    [
        (SchedulePolicy.FIFO, [0, 1, 2, 3]),
        (SchedulePolicy.LIFO, [3, 2, 1, 0]),
        (SchedulePolicy.ByPriority, [1, 3, 0, 2]),
    ],
)
async def test_the_schedule_says_who_is_next(plus_path, policy, order):
    assert await order_of(plus_path, policy, [0, 2, -1, 2]) == order


async def test_late_requests_run_under_maintain(plus_path):
    kept = config(maintenance_policy=MaintenancePolicy.Maintain, finish_latencies=[1])
    async with maccel_aio.Accelerator(SLOW) as acc, acc.load(plus_path, kept) as model:
        jobs = [await model.submit(X, deadline=0.001) for _ in range(2)]
        for job in jobs:
            np.testing.assert_array_equal((await job)[0], X + 1)
        np.testing.assert_array_equal((await model.infer(X, deadline=-1.0))[0], X + 1)
        async with model.batched(max_batch=2) as batched:
            await batched.infer(X, deadline=0.001)
        with pytest.raises(maccel_aio.InvalidError):
            await model.infer(X, deadline="soon")  # type: ignore[arg-type]
        assert model.stats().expired == 0


async def test_finish_latencies_are_deadlines_of_their_own(plus_path):
    """The shorter one counts, and the second call of a form has one as the first had."""
    limited = config(finish_latencies=[60_000])
    async with maccel_aio.Accelerator(SLOW) as acc, acc.load(plus_path, limited) as model:
        for _ in range(2):
            blocker = await model.submit(X)
            for job in [model.try_submit(X), model.try_submit(X, deadline=60)]:
                with pytest.raises(maccel_aio.DeadlineError):
                    await job
            await blocker
            blocker = await model.submit(X)
            with pytest.raises(maccel_aio.DeadlineError):
                await model.infer(X)
            await blocker
        assert model.stats().expired == 6


async def test_a_call_that_cannot_be_done_in_time_is_not_submitted(plus_path):
    known = config(early_latencies=[HOUR_US])
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(plus_path, known) as model:
        began = time.monotonic()
        with pytest.raises(maccel_aio.DeadlineError, match="needs 3600 s"):
            await model.infer(X, deadline=60)
        with pytest.raises(maccel_aio.DeadlineError):
            model.try_submit(X, deadline=60)
        assert time.monotonic() - began < 30
        assert acc.stats().submitted == 0
        np.testing.assert_array_equal((await model.infer(X, deadline=7200))[0], X + 1)
        np.testing.assert_array_equal((await model.infer(X))[0], X + 1)


async def test_a_request_that_waited_too_long_to_be_done_is_dropped(plus_path):
    """Submitted in time, taken when the core has less time left than it needs."""
    known = config(early_latencies=[HOUR_US])
    async with maccel_aio.Accelerator(SLOW) as acc, acc.load(plus_path, known) as model:
        blocker = await model.submit(X)
        job = await model.submit(X, deadline=3600.01)
        await blocker
        with pytest.raises(maccel_aio.DeadlineError):
            await job
        assert model.stats().expired == 1


async def test_a_device_that_learns_runs_what_it_can(plus_path):
    learning = config(latency_set_policy=LatencySetPolicy.Auto, early_latencies=[HOUR_US])
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(plus_path, learning) as model:
        for _ in range(20):
            np.testing.assert_array_equal((await model.infer(X, deadline=60))[0], X + 1)
        assert model.stats().expired == 0


async def test_models_of_several_segments_have_the_limits_of_the_whole(tmp_path):
    path = mxqtools.segmented(tmp_path / "segmented.mxq", 8, doubling())
    known = config(early_latencies=[HOUR_US], finish_latencies=[2 * HOUR_US])
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(path, known) as model:
        await model.infer(X)
        await model.infer(X, deadline=3601)
        with pytest.raises(maccel_aio.DeadlineError, match="needs"):
            await model.infer(X, deadline=3599)
