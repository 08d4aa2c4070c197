"""Pools: work is shared, and what a lost device had begun runs elsewhere exactly once."""

import contextlib
from typing import Any

import anyio
import numpy as np
import pytest

import maccel_aio
from maccel_aio import testing
from maccel_aio._core import _guard, _replica
from tests.core.test_jobs import until

X = np.arange(8, dtype=np.float32)


async def calls(model, n, **options):
    """Call n times at once; return the outputs or errors."""
    found: list[Any] = [None] * n

    async def one(index):
        try:
            found[index] = (await model.infer(X + index, **options))[0]
        except maccel_aio.MaccelError as problem:
            found[index] = problem

    async with anyio.create_task_group() as tasks:
        for index in range(n):
            tasks.start_soon(one, index)
    return found


def assert_right(found):
    for index, y in enumerate(found):
        np.testing.assert_array_equal(y, X + index + 1)


async def test_work_is_shared(plus_path):
    async with maccel_aio.open_pool(["soft:0", "soft:1"]) as pool, pool.load(plus_path) as model:
        assert_right(await calls(model, 40))
        stats = model.stats()
        assert [one.device for one in stats.replicas] == ["soft:0", "soft:1"]
        assert [one.submitted for one in stats.replicas] == [20, 20]
        assert {one.health for one in stats.replicas} == {"ok"}
        assert {one.load for one in stats.replicas} == {0}
        assert model.inputs[0].name == "x"
        assert model.outputs[0].name == "y"
        assert pool.stats()["soft:1"].completed == 20
        assert len(model.replicas) == len(pool.accelerators) == 2
        assert "soft:0, soft:1" in repr(model) + repr(pool)


async def test_the_slower_device_gets_less(plus_path):
    slow, fast = testing.faulty_accelerator(delay=0.05, cores=1), "soft:1"
    async with (
        slow,
        maccel_aio.open_pool([slow, fast]) as pool,
        pool.load(plus_path) as model,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(4):

            async def client():
                for _ in range(5):
                    await model.infer(X)

            tasks.start_soon(client)
    first, second = model.stats().replicas
    assert first.submitted < second.submitted


async def test_a_lost_device_fails_nobody(plus_path):
    dying = testing.faulty_accelerator(delay=0.005, lose_after=3)
    async with (
        dying,
        maccel_aio.open_pool([dying, "soft:1"]) as pool,
        pool.load(plus_path) as model,
    ):
        assert_right(await calls(model, 30))
        stats = model.stats()
        assert [one.health for one in stats.replicas] == ["lost", "ok"]
        assert stats.retried >= 1
        assert stats.replicas[0].submitted + stats.replicas[1].submitted == 30 + stats.retried
        before = stats.replicas[0].submitted
        assert_right(await calls(model, 10))
        assert model.stats().replicas[0].submitted == before


async def test_a_request_is_tried_elsewhere_once_only(plus_path):
    dying = [testing.faulty_accelerator(lose_after=0) for _ in range(3)]
    async with maccel_aio.open_pool(dying) as pool, pool.load(plus_path) as model:
        with pytest.raises(maccel_aio.DeviceLostError):
            await model.infer(X)
        assert sum(one.submitted for one in model.stats().replicas) == 2
        with pytest.raises(maccel_aio.DeviceLostError):
            await model.infer(X)
        with pytest.raises(maccel_aio.DeviceLostError, match="no device"):
            model.try_submit(X)
        assert "nothing" in repr(model)
    for accelerator in dying:
        await accelerator.aclose()


async def test_memory_that_the_lost_device_may_write_is_not_offered_to_another(plus_path):
    async with (
        maccel_aio.open_pool(["soft:0", "soft:1"]) as pool,
        pool.load(plus_path) as model,
    ):
        lost = maccel_aio.DeviceLostError("gone")

        async def lose(*_args, **_options):
            raise lost

        async def in_use(*_args, **_options):
            raise maccel_aio.BufferInUseError("in use")

        for replica, infer in zip(model.replicas, (lose, in_use), strict=True):
            replica.infer = infer  # type: ignore[method-assign]
        with pytest.raises(maccel_aio.DeviceLostError) as caught:
            await model.infer(X, out=[np.empty(8, np.float32)])
        assert caught.value is lost


async def test_out_is_written_by_whoever_is_left(plus_path):
    dying = testing.faulty_accelerator(lose_after=0)
    out = [np.zeros(8, np.float32)]
    async with (
        dying,
        maccel_aio.open_pool([dying, "soft:1"]) as pool,
        pool.load(plus_path) as model,
    ):
        await model.infer(X, out=out)
    np.testing.assert_array_equal(out[0], X + 1)


async def test_a_device_that_fails_again_and_again_rests(plus_path, monkeypatch):
    failing = testing.faulty_accelerator(fail_every=1)
    async with (
        failing,
        maccel_aio.open_pool([failing, "soft:1"]) as pool,
        pool.load(plus_path) as model,
    ):
        found = [(await calls(model, 1))[0] for _ in range(16)]
        failed = [y for y in found if isinstance(y, maccel_aio.InferenceError)]
        assert len(failed) == _replica.PATIENCE
        assert model.stats().replicas[0].health == "resting"


async def test_jobs_and_streams(plus_path):
    async with maccel_aio.open_pool(["soft:0", "soft:1"]) as pool, pool.load(plus_path) as model:
        jobs = [await model.submit(X), model.try_submit(X + 1)]
        for index, job in enumerate(jobs):
            np.testing.assert_array_equal((await job)[0], X + index + 1)
        await until(lambda: {one.load for one in model.stats().replicas} == {0})
        async with model.stream([X + i for i in range(20)]) as stream:
            async for item in stream:
                np.testing.assert_array_equal(item.outputs[0], X + item.index + 1)
        assert stream.stats().delivered == 20
        assert min(one.submitted for one in model.stats().replicas) >= 5


async def test_a_stream_survives_a_lost_device(plus_path):
    dying = testing.faulty_accelerator(lose_after=5)
    async with (
        dying,
        maccel_aio.open_pool([dying, "soft:1"]) as pool,
        pool.load(plus_path) as model,
        model.stream([X + i for i in range(30)]) as stream,
    ):
        async for item in stream:
            np.testing.assert_array_equal(item.outputs[0], X + item.index + 1)


async def test_jobs_pass_a_lost_device_over(plus_path):
    dying = testing.faulty_accelerator(lose_after=0)
    async with (
        dying,
        maccel_aio.open_pool([dying, "soft:1"]) as pool,
        pool.load(plus_path) as model,
    ):
        with pytest.raises(maccel_aio.DeviceLostError):
            await dying._models[next(iter(dying._models))].infer(X)
        for _ in range(3):
            np.testing.assert_array_equal((await (await model.submit(X)))[0], X + 1)
            np.testing.assert_array_equal((await model.try_submit(X))[0], X + 1)


async def test_an_accelerator_makes_a_pool_with_others(plus_path):
    async with (
        maccel_aio.Accelerator("soft:0") as acc,
        acc.pool("soft:1") as pool,
        pool.load(plus_path) as model,
    ):
        assert_right(await calls(model, 4))
    assert "closed" in repr(acc)


async def test_what_cannot_be_opened(plus_path):
    both: list[Any] = ["soft:0", 0]
    for devices in ([], both):
        with pytest.raises(maccel_aio.InvalidError):
            maccel_aio.open_pool(devices)
    with pytest.raises(maccel_aio.MaccelError):
        await maccel_aio.open_pool(["soft:0", "nothing:0"])
    async with maccel_aio.open_pool(["soft:0", "soft:1"]) as pool:
        with pytest.raises(FileNotFoundError):
            await pool.load(plus_path.with_name("missing.mxq"))


async def test_closing_reports_and_is_bounded(plus_path):
    async with (
        testing.faulty_accelerator(delay=0.3) as slow,
        maccel_aio.open_pool([slow, "soft:1"]) as pool,
    ):
        model = await pool.load(plus_path)
        job = model.replicas[0].try_submit(X)
        await until(lambda: slow.stats().running == 1)
        report = await model.aclose(0.01)
        assert (report.abandoned, report.timed_out) == (1, True)
        assert not (await pool.aclose()).timed_out
        await until(job.done)


@pytest.mark.parametrize("how", ["submit", "try_submit"])
@pytest.mark.parametrize("given", [False, True])
async def test_jobs_that_a_lost_device_had_begun_go_on_elsewhere_once(plus_path, how, given):
    dying = testing.faulty_accelerator(delay=0.005, lose_after=3)
    async with (
        dying,
        maccel_aio.open_pool([dying, "soft:1"]) as pool,
        pool.load(plus_path) as model,
    ):
        ended: list[Any] = []
        jobs, outs = [], [[np.zeros(8, np.float32)] if given else None for _ in range(30)]
        for index, out in enumerate(outs):
            options: dict[str, Any] = {"out": out, "deadline": 30.0}
            made = (
                await model.submit(X + index, **options)
                if how == "submit"
                else model.try_submit(X + index, **options)
            )
            made.add_done_callback(ended.append)
            jobs.append(made)
        for index, (job, out) in enumerate(zip(jobs, outs, strict=True)):
            (y,) = await job
            np.testing.assert_array_equal(y, X + index + 1)
            assert out is None or np.shares_memory(y, out[0])
        await until(lambda: len(ended) == 30)
        await until(lambda: {one.load for one in model.stats().replicas} == {0})
        stats = model.stats()
        assert [one.health for one in stats.replicas] == ["lost", "ok"]
        assert stats.retried >= 1
        assert sum(one.submitted for one in stats.replicas) == 30 + stats.retried
        assert sum(one.model.in_flight for one in stats.replicas) == 0
        assert sum(one.model.completed for one in stats.replicas) == 30


async def test_a_job_is_tried_elsewhere_once_only(plus_path):
    dying = [testing.faulty_accelerator(delay=0.005, lose_after=0) for _ in range(3)]
    async with maccel_aio.open_pool(dying) as pool, pool.load(plus_path) as model:
        job = model.try_submit(X)
        with pytest.raises(maccel_aio.DeviceLostError):
            await job
        assert job.state is maccel_aio.JobState.FAILED
        assert sum(one.submitted for one in model.stats().replicas) == 2
        await until(lambda: {one.load for one in model.stats().replicas} == {0})
    for accelerator in dying:
        await accelerator.aclose()


async def test_a_job_that_waits_for_its_second_device_can_be_cancelled(plus_path):
    dying = testing.faulty_accelerator(delay=0.02, lose_after=0, cores=1)
    async with (
        dying,
        maccel_aio.open_pool([dying, "fault:soft:1?delay_ms=100&cores=1"]) as pool,
        pool.load(plus_path, max_inflight=1) as model,
    ):
        jobs = [model.try_submit(X), model.try_submit(X + 1)]
        moving = next(job for job in jobs if job._port is model.replicas[0].port_here())
        await until(lambda: moving._user_data == 0)
        assert moving.cancel() is maccel_aio.CancelOutcome.REMOVED
        with pytest.raises(maccel_aio.CancelledRequestError):
            await moving
        other = next(job for job in jobs if job is not moving)
        assert len(await other) == 1
        await until(lambda: sum(one.model.in_flight for one in model.stats().replicas) == 0)
        assert model.stats().replicas[1].model.submitted == 1


async def test_a_chained_job_ends_with_its_device(plus_path):
    dying = testing.faulty_accelerator(delay=0.005, lose_after=0)
    async with (
        dying,
        maccel_aio.open_pool([dying]) as pool,
        pool.load(plus_path) as model,
    ):
        job = model.try_submit(model.try_submit(X))
        with pytest.raises(maccel_aio.DeviceLostError):
            await job
        assert model.stats().retried == 0


@pytest.mark.parametrize("end", ["result", "cancel", "lost"])
async def test_nobody_gets_the_arrays_of_a_job_that_moves(plus_path, end):
    """Shown to fail: with the claim given back at the completion of the lost device."""
    dying = testing.faulty_accelerator(delay=0.02, lose_after=0, cores=1)
    ending = "&lose_after=0" if end == "lost" else ""
    second = f"fault:soft:1?delay_ms=50&cores=1{ending}"
    outs = [np.zeros(8, np.float32) for _ in range(2)]
    async with (
        dying,
        maccel_aio.open_pool([dying, second]) as pool,
        pool.load(plus_path, max_inflight=1) as model,
    ):
        jobs = [model.try_submit(X, out=[out]) for out in outs]
        moving = next(job for job in jobs if job._port is model.replicas[0].port_here())
        out = outs[jobs.index(moving)]
        await until(lambda: moving._user_data == 0)
        with pytest.raises(maccel_aio.BufferInUseError):
            _guard.claim([out])
        if end == "cancel":
            moving.cancel()
        elif end == "result":
            assert (await moving)[0] is out
            np.testing.assert_array_equal(out, X + 1)
        for job in jobs:
            with contextlib.suppress(maccel_aio.MaccelError):
                await job
        await until(lambda: _guard.claims() == 0)


async def test_a_device_that_cannot_take_a_moved_job_because_of_its_memory_is_not_lost(plus_path):
    dying = testing.faulty_accelerator(delay=0.02, lose_after=0, cores=1)
    async with (
        dying,
        maccel_aio.open_pool([dying, "fault:soft:1?delay_ms=100&cores=1"]) as pool,
        pool.load(plus_path, max_inflight=1) as model,
    ):
        inputs = [dying.allocate((8,)) for _ in range(2)]
        for one in inputs:
            one.array[...] = X
        jobs = [model.try_submit(one) for one in inputs]
        moving = next(job for job in jobs if job._port is model.replicas[0].port_here())
        claim = _guard.claim([inputs[jobs.index(moving)].target()])  # a request writes it by now
        with pytest.raises(maccel_aio.DeviceLostError):
            await moving
        _guard.release(claim)
        await until(lambda: {one.load for one in model.stats().replicas} == {0})
        assert [one.health for one in model.stats().replicas] == ["lost", "ok"]
        np.testing.assert_array_equal((await model.infer(X))[0], X + 1)


class Once:
    """An input that can be read once only."""

    def __init__(self):
        self.reads = 0

    def __array__(self, dtype=None, copy=None):
        self.reads += 1
        if self.reads > 1:
            raise ValueError("it was read before")
        return np.array(X, dtype=dtype)


async def test_a_moved_job_whose_input_cannot_be_read_again_ends(plus_path):
    dying = testing.faulty_accelerator(delay=0.005, lose_after=0)
    async with (
        dying,
        maccel_aio.open_pool([dying, "soft:1"]) as pool,
        pool.load(plus_path) as model,
    ):
        job = await model.submit(Once())
        with anyio.fail_after(5), pytest.raises(maccel_aio.DeviceLostError):
            await job
        await until(lambda: {one.load for one in model.stats().replicas} == {0})
        assert [one.health for one in model.stats().replicas] == ["lost", "ok"]
