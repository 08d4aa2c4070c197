"""Each fault does what its name says, again and again."""

import numpy as np
import pytest

import maccel_aio
from maccel_aio import testing

X = np.zeros(8, np.float32)


async def outcomes(acc, path, n):
    """Return the names of the errors of n requests, "" for success."""
    found = []
    async with acc, acc.load(path) as model:
        for _ in range(n):
            try:
                (y,) = await model.infer(X)
                np.testing.assert_array_equal(y, X + 1)
                found.append("")
            except maccel_aio.MaccelError as problem:
                found.append(type(problem).__name__)
    return found


@pytest.fixture
def path(tmp_path):
    return testing.tiny_model(tmp_path / "tiny.mxq")


async def test_failures_come_as_counted(path):
    for _ in range(2):  # the next accelerator counts from the beginning
        found = await outcomes(testing.faulty_accelerator(fail_every=3), path, 9)
        assert found == ["", "", "InferenceError"] * 3


async def test_failures_come_as_drawn(path):
    def make():
        return testing.faulty_accelerator(fail_rate=0.5, seed=7)

    one, two = await outcomes(make(), path, 40), await outcomes(make(), path, 40)
    assert one == two
    assert 5 < one.count("InferenceError") < 35


async def test_a_lost_device(path):
    found = await outcomes(testing.faulty_accelerator(lose_after=2), path, 4)
    assert found == ["", "", "DeviceLostError", "DeviceLostError"]


async def test_harmless_faults_are_not_noticed(path):
    acc = testing.faulty_accelerator(duplicate_every=1, reorder=True, cores=1)
    assert await outcomes(acc, path, 8) == [""] * 8


async def test_a_slow_device_lets_deadlines_pass(path):
    async with testing.faulty_accelerator(delay=0.02, cores=1) as acc, acc.load(path) as model:
        jobs = [model.try_submit(X) for _ in range(8)]
        with pytest.raises(maccel_aio.DeadlineError):
            await model.infer(X, deadline=0.002)
        for job in jobs:
            await job


async def test_a_request_that_hangs_ends_when_the_accelerator_is_closed(path):
    async with testing.faulty_accelerator(hang_every=1) as acc:
        model = await acc.load(path)
        job = model.try_submit(X)
        await model.aclose(0.01)
    assert job.done() or job.state is maccel_aio.JobState.QUEUED


@pytest.mark.parametrize(
    "options",
    [{"delay": -1}, {"delay": float("nan")}, {"fail_rate": 2}, {"fail_every": 0}, {"cores": 0}],
)
def test_what_cannot_be(options):
    with pytest.raises(maccel_aio.InvalidError):
        testing.faulty_accelerator(**options)
