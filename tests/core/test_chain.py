"""Jobs as inputs of other jobs."""

import anyio
import numpy as np
import pytest

import maccel_aio
from tests.core import mxqtools

X = np.arange(8, dtype=np.float32)


async def pair(acc, path, **options):
    return await acc.load(path, **options), await acc.load(path, **options)


@pytest.mark.parametrize("device", ["soft:0", "fault:soft:0?delay_ms=5"])
async def test_a_job_stands_for_its_outputs(plus_path, device):
    async with maccel_aio.Accelerator(device) as acc:
        first, second = await pair(acc, plus_path)
        job = first.try_submit(X)
        (y,) = await second.infer(job)
        np.testing.assert_array_equal(y, X + 2)
        np.testing.assert_array_equal((await job)[0], X + 1)
        (y,) = await second.infer(job)  # done by now: its outputs are arrays like any others
        np.testing.assert_array_equal(y, X + 2)
        (y,) = await second.try_submit([second.try_submit([first.try_submit(X)])])
        np.testing.assert_array_equal(y, X + 3)


async def test_the_host_is_not_asked_in_between(plus_path):
    async with maccel_aio.Accelerator("fault:soft:0?delay_ms=20") as acc:
        first, second = await pair(acc, plus_path)
        job = second.try_submit(first.try_submit(X))
        while acc.stats().completed < 2:
            pass
        assert not job.done()  # all was done without this thread
        np.testing.assert_array_equal((await job)[0], X + 2)


async def test_many_chains_at_one_time(plus_path):
    async with maccel_aio.Accelerator("soft:0") as acc:
        first, second = await pair(acc, plus_path)

        async def chain(number):
            for _ in range(30):
                (y,) = await second.infer(await first.submit(X + number))
                np.testing.assert_array_equal(y, X + number + 2)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(chain, number)
        assert acc.stats().overflow == acc.stats().stale == 0


async def test_the_error_of_the_first_is_the_error_of_the_second(plus_path):
    async with maccel_aio.Accelerator("fault:soft:0?fail_every=1&delay_ms=5") as acc:
        first, second = await pair(acc, plus_path)
        job = first.try_submit(X)
        last = second.try_submit(second.try_submit(job))
        with pytest.raises(maccel_aio.InferenceError):
            await last
        with pytest.raises(maccel_aio.InferenceError):
            await second.infer(job)
        with pytest.raises(maccel_aio.InferenceError):
            second.try_submit(job)
        assert second.stats().in_flight == 0


async def test_cancelling_the_first_takes_the_second_along(plus_path):
    async with maccel_aio.Accelerator("fault:soft:0?delay_ms=50") as acc:
        first, second = await pair(acc, plus_path)
        job = first.try_submit(X)
        last = second.try_submit(job)
        await anyio.sleep(0.01)
        job.cancel()
        with pytest.raises(maccel_aio.CancelledRequestError):
            await last
        other = first.try_submit(X)
        last = second.try_submit(other)
        assert last.cancel() is maccel_aio.CancelOutcome.REMOVED
        np.testing.assert_array_equal((await other)[0], X + 1)


async def test_what_the_device_cannot_follow_is_awaited(plus_path):
    async with (
        maccel_aio.Accelerator("soft:0") as acc,
        maccel_aio.Accelerator("soft:1") as other,
    ):
        first, second = await acc.load(plus_path), await other.load(plus_path)
        (y,) = await second.infer(first.try_submit(X))
        np.testing.assert_array_equal(y, X + 2)
        with pytest.raises(maccel_aio.InvalidError, match="await it first"):
            second.try_submit(first.try_submit(X))


async def test_a_job_of_the_wrong_shape_is_refused(plus_path, tmp_path):
    wide = mxqtools.plus(tmp_path / "wide.mxq", 9)
    async with maccel_aio.Accelerator("soft:0") as acc:
        first, second = await acc.load(plus_path), await acc.load(wide)
        job = first.try_submit(X)
        with pytest.raises(maccel_aio.ShapeError):
            await second.infer(job)
        np.testing.assert_array_equal((await job)[0], X + 1)
