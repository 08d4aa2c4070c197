"""Leases in event loops: results, refusals, quarantine. Pools have tests of their own."""

import functools
from typing import Any

import anyio
import numpy as np
import pytest

import maccel_aio
from maccel_aio import testing
from maccel_aio._core import _guard
from tests.core import mxqtools
from tests.core.test_jobs import until
from tests.core.test_segments import doubling

X = np.arange(8, dtype=np.float32)


def noted(order, number, job):
    order.append(number)


async def run(model, lease, how):
    """Run a lease in one of the ways."""
    if how == "infer":
        return await model.infer(lease)
    return await (await model.submit(lease) if how == "submit" else model.try_submit(lease))


@pytest.mark.parametrize("how", ["infer", "submit", "try_submit"])
async def test_a_lease_goes_in_and_out_without_a_copy(plus, how):
    async with plus.buffers(2, shape=(8,)) as pool, pool.lease() as lease:
        assert [array.ctypes.data % 4096 for array in lease.inputs + lease.outputs] == [0, 0]
        for value in range(5):
            lease.inputs[0][...] = X + value
            (y,) = await run(plus, lease, how)
            assert np.shares_memory(y, lease.outputs[0])
            np.testing.assert_array_equal(y, X + value + 1)
    assert plus.stats().completed == 5
    assert plus.stats().in_flight == 0


@pytest.mark.parametrize("how", ["infer", "submit", "try_submit"])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
@pytest.mark.parametrize("shape", [(3, 6, 7), (6, 7, 3), (2, 6, 7, 3), (1, 3, 6, 7)])
async def test_shapes_and_dtypes_are_those_of_infer(tmp_path, how, dtype, shape):
    path = mxqtools.image(tmp_path / "m.mxq", 3, 6, 7)
    x = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    async with maccel_aio.load(path) as model:
        try:
            expected = await model.infer(x)
        except maccel_aio.MaccelError as problem:
            with pytest.raises(type(problem)):
                async with model.buffers(1, shape=shape, dtype=dtype).lease() as lease:
                    await run(model, lease, how)
            assert not lease.in_flight
            return
        async with model.buffers(1, shape=shape, dtype=dtype).lease() as lease:
            lease.inputs[0][...] = x
            made = await run(model, lease, how)
            assert [one.dtype for one in made] == [one.dtype for one in expected]
            for one, other in zip(made, expected, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("how", ["infer", "submit", "try_submit"])
async def test_models_with_cpu_segments(tmp_path, how):
    path = mxqtools.segmented(tmp_path / "segmented.mxq", 8, doubling())
    async with maccel_aio.load(path) as model, model.buffers(1, shape=(8,)).lease() as lease:
        x = np.random.default_rng(1).random(lease.inputs[0].shape, np.float32)
        expected = await model.infer(x)
        lease.inputs[0][...] = x
        for one, other in zip(await run(model, lease, how), expected, strict=True):
            np.testing.assert_array_equal(one, other)
        assert not lease.in_flight


async def test_in_flight_it_is_refused_to_everybody(plus_path):
    async with testing.faulty_accelerator(delay=0.05) as acc, acc.load(plus_path) as model:
        lease = model.buffers(1, shape=(8,)).try_lease()
        lease.inputs[0][...] = X
        inside, target = lease.inputs[0], lease.outputs[0]
        job = model.try_submit(lease)
        assert lease.in_flight
        assert "in flight" in repr(lease)
        for use in (
            lambda: lease.inputs, lambda: lease.outputs, lambda: model.try_submit(lease),
            lambda: model.try_submit(X, out=[target]), lambda: model.try_submit(X, out=[inside]),
        ):  # fmt: skip
            with pytest.raises(maccel_aio.BufferInUseError):
                use()
        for call in (model.infer(lease), model.submit(lease)):
            with pytest.raises(maccel_aio.BufferInUseError):
                await call
        np.testing.assert_array_equal((await job)[0], X + 1)
        np.testing.assert_array_equal(lease.outputs[0], X + 1)
        claimed = model.try_submit(X + 1, out=[target])
        with pytest.raises(maccel_aio.BufferInUseError):
            model.try_submit(lease)
        await claimed
        np.testing.assert_array_equal(lease.outputs[0], X + 2)
        assert model.stats().in_flight == 0
        lease.release()


async def test_after_release_nothing_is_to_be_had(plus):
    pool = plus.buffers(1, shape=(8,))
    async with pool.lease() as lease:
        lease.inputs[0][...] = X
        lease.release()  # the end of the block minds it not
    with pytest.raises(maccel_aio.ClosedError):
        lease.release()
    for use in (lambda: lease.inputs, lambda: lease.outputs, lambda: plus.try_submit(lease)):
        with pytest.raises(maccel_aio.ClosedError):
            use()
    for call in (plus.infer(lease), plus.submit(lease)):
        with pytest.raises(maccel_aio.ClosedError):
            await call
    assert "released" in repr(lease)
    with pool.try_lease() as again:
        assert pool.idle == 0
        assert not again.in_flight
    assert pool.idle == 1


async def test_what_a_caller_still_holds_is_lent_to_nobody(plus):
    pool = plus.buffers(1, shape=(8,))
    async with pool.lease() as lease:
        lease.inputs[0][...] = X
        (kept,) = await plus.infer(lease)
    async with pool.lease() as lease:
        lease.inputs[0][...] = 100
        assert not np.shares_memory(kept, lease.outputs[0])
        await plus.infer(lease)
        np.testing.assert_array_equal(kept, X + 1)
        where = lease.outputs[0].ctypes.data
    async with pool.lease() as lease:  # nobody held the last one
        assert lease.outputs[0].ctypes.data == where


async def test_4_a_cancelled_request_keeps_its_lease_until_the_device_lets_go(plus_path):
    """Pitfall 4 for leases: what is lent next is never what a cancelled request still writes."""
    async with testing.faulty_accelerator(delay=0.2, cores=1) as acc:
        model = await acc.load(plus_path, cancel_grace=0.01)
        pool = model.buffers(1, shape=(8,))
        with anyio.move_on_after(0.05) as scope:
            async with pool.lease() as lease:
                lease.inputs[0][...] = X
                await model.infer(lease)
        assert scope.cancelled_caught
        assert lease.in_flight  # quarantined: abandoned, and still on the device
        assert (pool.idle, model.stats().abandoned) == (0, 1)
        with pytest.raises(maccel_aio.QueueFullError):
            pool.try_lease()
        async with pool.lease() as following:  # waits for the completion
            assert model.stats().abandoned == 0
            following.outputs[0][...] = -1
            await anyio.sleep(0.02)
            assert np.all(following.outputs[0] == -1)
        assert not _guard.claims()


async def test_within_the_grace_a_cancelled_caller_waits_for_the_device(plus_path):
    async with (
        testing.faulty_accelerator(delay=0.1) as acc,
        acc.load(plus_path) as model,
        model.buffers(1, shape=(8,)).lease() as lease,
    ):
        lease.inputs[0][...] = X
        with anyio.move_on_after(0.03):
            await model.infer(lease)
        assert not lease.in_flight
        assert (await model.infer(lease))[0].tolist() == (X + 1).tolist()


async def test_a_lease_taken_out_of_the_queue_is_free_at_once(plus_path):
    async with testing.faulty_accelerator(delay=0.1, cores=1) as acc:
        model = await acc.load(plus_path)
        pool = model.buffers(2, shape=(8,))
        first, second = pool.try_lease(), pool.try_lease()
        job = model.try_submit(first)
        await anyio.sleep(0.02)
        queued = model.try_submit(second)
        assert queued.cancel() is maccel_aio.CancelOutcome.REMOVED
        assert not second.in_flight
        second.inputs[0][...] = X
        np.testing.assert_array_equal((await model.infer(second))[0], X + 1)
        await job
        first.release()
        second.release()


async def test_deadlines_and_priorities_are_those_of_the_request(plus_path):
    async with testing.faulty_accelerator(delay=0.05, cores=1) as acc:
        model = await acc.load(plus_path)
        async with model.buffers(3, shape=(8,)) as pool:
            leases = [pool.try_lease() for _ in range(3)]
            first = model.try_submit(leases[0])
            late = model.try_submit(leases[1], deadline=0.01)
            with pytest.raises(maccel_aio.DeadlineError):
                await late
            await first
            for lease in leases:  # the entry of the second has no deadline any more
                await model.infer(lease)
            order: list[int] = []
            jobs = [model.try_submit(leases[0])]
            await anyio.sleep(0.01)
            jobs += [
                model.try_submit(leases[1], priority=1),
                model.try_submit(leases[2], priority=2),
            ]
            for number, job in enumerate(jobs):
                job.add_done_callback(functools.partial(noted, order, number))
            for job in jobs:
                await job
            await until(lambda: len(order) == 3)
            assert order == [0, 2, 1]
            for lease in leases:
                lease.release()


async def test_what_does_not_go_with_a_lease(plus, tmp_path):
    other: Any = mxqtools.plus(tmp_path / "other.mxq", 4)
    async with maccel_aio.load(other) as stranger, plus.buffers(1, shape=(8,)).lease() as lease:
        for options in ({"out": [X]}, {"cache_size": 1}, {"params": 1}, {"priority": 1.5}):
            with pytest.raises(maccel_aio.InvalidError):
                plus.try_submit(lease, **options)
        with pytest.raises(maccel_aio.InvalidError):
            stranger.try_submit(lease)
        with pytest.raises(maccel_aio.InvalidError):
            stranger.try_submit([lease])
        with pytest.raises(maccel_aio.DeadlineError):
            plus.try_submit(lease, deadline=-1)
        assert not lease.in_flight


async def test_credits_bound_leases_too(plus_path):
    async with testing.faulty_accelerator(delay=0.02, cores=1) as acc:
        model = await acc.load(plus_path, max_inflight=2)
        async with model.buffers(6, shape=(8,)) as pool:
            leases = [pool.try_lease() for _ in range(6)]
            jobs = [model.try_submit(lease) for lease in leases[:2]]
            with pytest.raises(maccel_aio.QueueFullError):
                model.try_submit(leases[2])
            assert not leases[2].in_flight
            async with anyio.create_task_group() as tasks:
                for lease in leases[2:]:
                    tasks.start_soon(model.infer, lease)
            for job in jobs:
                await job
            assert model.stats().completed == 6
            for lease in leases:
                lease.release()


async def test_a_failed_request_gives_its_lease_back(plus_path):
    async with (
        testing.faulty_accelerator(fail_every=1) as acc,
        acc.load(plus_path) as model,
        model.buffers(1, shape=(8,)).lease() as lease,
    ):
        with pytest.raises(maccel_aio.InferenceError):
            await model.infer(lease)
        assert not lease.in_flight


async def test_closing_takes_no_lease_away(plus_path):
    async with maccel_aio.Accelerator("soft:0") as acc:
        model = await acc.load(plus_path)
        lease = model.buffers(1, shape=(8,)).try_lease()
        lease.inputs[0][...] = X
        await model.aclose()
        with pytest.raises(maccel_aio.ClosedError):
            model.try_submit(lease)
        with pytest.raises(maccel_aio.ClosedError):
            model.buffers(1, shape=(8,))
    assert lease.inputs[0].tolist() == X.tolist()
    lease.release()


async def test_a_forgotten_lease_is_told_of_and_comes_back(plus):
    pool = plus.buffers(1, shape=(8,))
    lease = pool.try_lease()
    with pytest.warns(ResourceWarning, match="never released"):
        del lease
    assert pool.idle == 1


async def test_jobs_of_leases_may_be_chained(plus):
    async with plus.buffers(1, shape=(8,)).lease() as lease:
        lease.inputs[0][...] = X
        np.testing.assert_array_equal((await plus.infer(plus.try_submit(lease)))[0], X + 2)


async def test_several_inputs(tmp_path):
    path = mxqtools.two_by_two(tmp_path / "m.mxq", 5)
    async with maccel_aio.load(path) as model, model.buffers(1).lease() as lease:
        for number, array in enumerate(lease.inputs):
            array[...] = number + 1
        total, difference = await model.infer(lease)
        assert (total.tolist(), difference.tolist()) == ([[3] * 5], [[-1] * 5])


async def test_many_go_with_one_call(plus):
    async with plus.buffers(20, shape=(8,)) as pool:
        leases = [pool.try_lease() for _ in range(20)]
        for count in (0, 1, 20, 7):
            for number, lease in enumerate(leases):
                lease.inputs[0][...] = X + number + count
            jobs = plus.try_submit_all(leases[:count])
            assert len(jobs) == count
            for number, job in enumerate(jobs):
                np.testing.assert_array_equal((await job)[0], X + number + count + 1)
        assert plus.stats().submitted == plus.stats().completed == 28
        await plus.infer(leases[0], deadline=10)
        await plus.try_submit_all(leases)[0]  # without the deadline of before
        await until(lambda: plus.stats().in_flight == 0)
        for lease in leases:
            lease.release()


async def test_many_go_all_or_none(plus_path, tmp_path):
    async with testing.faulty_accelerator(delay=0.02, cores=1) as acc:
        model = await acc.load(plus_path, max_inflight=3)
        async with model.buffers(5, shape=(8,)) as pool:
            leases = [pool.try_lease() for _ in range(5)]
            job = model.try_submit(leases[0])
            for wrong, problem in (
                (leases[:2], maccel_aio.BufferInUseError),
                ([leases[1], leases[1]], maccel_aio.BufferInUseError),
                (leases[1:], maccel_aio.QueueFullError),
            ):
                with pytest.raises(problem):
                    model.try_submit_all(wrong)
                assert not any(lease.in_flight for lease in leases[1:])
                assert model.stats().in_flight == 1
            for made in (job, *model.try_submit_all(leases[1:3])):
                await made
            assert acc.stats().submitted == 3
            await model.aclose()
            with pytest.raises(maccel_aio.ClosedError):
                model.try_submit_all(leases)
            for lease in leases:
                lease.release()
            with pytest.raises(maccel_aio.ClosedError):
                model.try_submit_all(leases)
    path = mxqtools.segmented(tmp_path / "segmented.mxq", 8, doubling())
    async with maccel_aio.load(path) as model, model.buffers(1).lease() as lease:
        with pytest.raises(maccel_aio.UnsupportedError):
            model.try_submit_all([lease])


async def test_many_are_refused_by_a_lost_device(plus_path):
    async with testing.faulty_accelerator(lose_after=1) as acc:
        model = await acc.load(plus_path)
        async with model.buffers(2, shape=(8,)) as pool:
            leases = [pool.try_lease(), pool.try_lease()]
            await model.infer(leases[0])
            with pytest.raises(maccel_aio.DeviceLostError):
                await model.infer(leases[0])
            with pytest.raises(maccel_aio.DeviceLostError):
                model.try_submit_all(leases)
            assert not any(lease.in_flight for lease in leases)
            assert model.stats().in_flight == 0
            for lease in leases:
                lease.release()
