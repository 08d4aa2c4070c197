"""Dynamic batching: who goes with whom, who waits, and that nobody pays for another."""

import anyio
import numpy as np
import pytest

import maccel_aio
from maccel_aio._core import _batcher
from tests.core import mxqtools
from tests.core.test_jobs import until

X = np.arange(8, dtype=np.float32)


@pytest.fixture
def device(request):
    """A device with one worker that takes 40 ms for a request, so that others meet there."""
    return getattr(request, "param", "fault:soft:0?cores=1&delay_ms=40")


@pytest.fixture
async def model(device, plus_path, monkeypatch):
    monkeypatch.setenv("MACCEL_THREADS", "1")
    async with maccel_aio.Accelerator(device) as acc, acc.load(plus_path) as made:
        yield made


async def all_of(batched, xs, **options):
    """Call for all of xs at one time; return (index -> outputs or error)."""
    found = {}

    async def one(index, x):
        try:
            found[index] = (await batched.infer(x, **options))[0]
        except maccel_aio.MaccelError as problem:
            found[index] = problem

    async with anyio.create_task_group() as tasks:
        for index, x in enumerate(xs):
            tasks.start_soon(one, index, x)
    return found


async def test_callers_of_one_turn_share_a_request(model):
    async with model.batched(max_batch=4, max_wait=1) as batched:
        found = await all_of(batched, [X + i for i in range(8)])
    for i, y in found.items():
        np.testing.assert_array_equal(y, X + i + 1)
    stats = batched.stats()
    assert stats.sizes == (1, 0, 1, 1)  # the first comes when all is quiet
    assert (stats.submitted, stats.completed, stats.batches) == (8, 8, 3)
    assert stats.mean_size == pytest.approx(8 / 3)
    assert model.stats().submitted == 3


@pytest.mark.parametrize("device", ["soft:0"], indirect=True)
async def test_a_lone_caller_does_not_wait_for_company(model):
    async with model.batched(max_batch=8, max_wait=30) as batched:
        with anyio.fail_after(5):
            for _ in range(3):
                np.testing.assert_array_equal((await batched.infer(X))[0], X + 1)
    assert batched.stats().sizes[0] == 3
    assert "closed" in repr(batched)


async def test_a_lone_caller_that_is_cancelled_cancels_its_request(model):
    async with model.batched() as batched:
        with anyio.move_on_after(0.005) as scope:
            await batched.infer(X)
        assert scope.cancelled_caught
        assert batched.stats().cancelled == 1
        np.testing.assert_array_equal((await batched.infer(X))[0], X + 1)
    assert model.stats().cancelled + model.stats().completed == 2


async def test_a_lone_caller_gets_its_own_error(plus_path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?fail_every=1") as acc,
        acc.load(plus_path) as model,
        model.batched() as batched,
    ):
        with pytest.raises(maccel_aio.InferenceError):
            await batched.infer(X)
        stats = batched.stats()
        assert (stats.failed, stats.retried, stats.in_flight) == (1, 0, 0)


async def test_who_waited_long_enough_leaves_although_the_device_is_busy(model):
    async with (
        model.batched(max_batch=8, max_wait=0.002) as batched,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(batched.infer, X)
        await until(lambda: batched.stats().in_flight == 1)
        tasks.start_soon(batched.infer, X)
        await until(lambda: batched.stats().in_flight == 2)
    assert batched.stats().sizes[0] == 2


async def test_company_is_waited_for_while_the_device_is_busy(model):
    async with (
        model.batched(max_batch=8, max_wait=30) as batched,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(batched.infer, X)
        await until(lambda: batched.stats().in_flight == 1)
        for _ in range(3):
            tasks.start_soon(batched.infer, X)
            await anyio.sleep(0.001)
    assert batched.stats().sizes[:3] == (1, 0, 1)
    assert batched.stats().wait_max_ns > 0


async def test_a_bad_input_fails_only_its_caller(model):
    async with model.batched(max_batch=4, max_wait=1) as batched:
        found = await all_of(batched, [X, np.zeros(3), X + 1, "text"[:0]])
        assert isinstance(found[1], maccel_aio.ShapeError)
        np.testing.assert_array_equal(found[2], X + 2)
    assert batched.stats().completed == 2


@pytest.mark.parametrize("device", ["fault:soft:0?cores=1&delay_ms=20&fail_every=2"], indirect=True)
async def test_a_batch_that_fails_is_tried_again_one_by_one(model):
    async with (
        model.batched(max_batch=4, max_wait=1) as batched,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(batched.infer, X)  # request 1
        await until(lambda: batched.stats().in_flight == 1)
        found = await all_of(batched, [X + i for i in range(4)])  # request 2, then 3 to 6
    failed = [y for y in found.values() if isinstance(y, maccel_aio.InferenceError)]
    assert len(failed) == 2
    stats = batched.stats()
    assert (stats.retried, stats.completed, stats.failed) == (4, 3, 2)
    assert len({id(problem) for problem in failed}) == 2


@pytest.mark.parametrize("device", ["fault:soft:0?cores=1&delay_ms=5&lose_after=0"], indirect=True)
async def test_a_lost_device_is_not_tried_again(model):
    async with model.batched(max_batch=4, max_wait=1) as batched:
        found = await all_of(batched, [X] * 3)
    assert all(isinstance(y, maccel_aio.DeviceLostError) for y in found.values())
    assert len({id(problem) for problem in found.values()}) == 3
    assert batched.stats().retried == 0


async def test_a_cancelled_caller_leaves_before_the_batch_does(model):
    async with (
        model.batched(max_batch=8, max_wait=30) as batched,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(batched.infer, X)
        await until(lambda: batched.stats().in_flight == 1)
        with anyio.move_on_after(0.001) as scope:
            await batched.infer(X)
        assert scope.cancelled_caught
        assert batched.stats().waiting == 0
        await batched.infer(X + 1)
    stats = batched.stats()
    assert stats.sizes[:2] == (2, 0)
    assert (stats.cancelled, stats.completed) == (1, 2)


async def test_a_batch_that_nobody_wants_is_cancelled(model):
    async with (
        model.batched(max_batch=8, max_wait=0) as batched,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(batched.infer, X)  # runs
        await until(lambda: batched.stats().in_flight == 1)
        with anyio.move_on_after(0.005):
            await batched.infer(X)  # queued on the device
        await until(lambda: batched.stats().in_flight == 0)
    assert model.stats().cancelled == 1


async def test_one_cancelled_caller_does_not_disturb_its_batch(model):
    results = []

    async def patient(batched):
        results.append((await batched.infer(X))[0])

    async with (
        model.batched(max_batch=2, max_wait=30) as batched,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(batched.infer, X)
        await until(lambda: batched.stats().in_flight == 1)
        tasks.start_soon(patient, batched)
        await until(lambda: batched.stats().waiting == 1)
        with anyio.move_on_after(0.005):
            await batched.infer(X)
    np.testing.assert_array_equal(results[0], X + 1)
    assert batched.stats().sizes[1] == 1


async def test_deadlines_are_per_caller(model):
    async with model.batched(max_batch=4, max_wait=30) as batched:
        found = {}

        async def one(key, deadline):
            try:
                found[key] = await batched.infer(X, deadline=deadline)
            except maccel_aio.DeadlineError as problem:
                found[key] = problem

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one, "first", None)
            await until(lambda: batched.stats().in_flight == 1)
            tasks.start_soon(one, "late", 0.001)
            tasks.start_soon(one, "early enough", 10)
        with pytest.raises(maccel_aio.DeadlineError):
            await batched.infer(X, deadline=-1)
    assert isinstance(found["late"], maccel_aio.DeadlineError)
    assert not isinstance(found["early enough"], Exception)
    assert batched.stats().expired == 1


async def test_a_deadline_counts_until_a_core_takes_the_batch(model):
    async with (
        model.batched(max_batch=2, max_wait=0) as batched,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(batched.infer, X)
        await until(lambda: batched.stats().in_flight == 1)
        tasks.start_soon(batched.infer, X)
        with pytest.raises(maccel_aio.DeadlineError):
            await batched.infer(X, deadline=0.004)
    assert batched.stats().completed == 2


async def test_a_full_queue_refuses(model):
    async with (
        model.batched(max_batch=1, max_wait=0, max_queue=2) as batched,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(2):
            tasks.start_soon(batched.infer, X)
        await until(lambda: batched.stats().in_flight == 2)
        found = await all_of(batched, [X] * 7)
    refused = [y for y in found.values() if isinstance(y, maccel_aio.QueueFullError)]
    assert len(refused) == batched.stats().refused == 5
    assert batched.stats().completed == 4


async def test_priorities_go_first(model):
    order = []

    async def one(batched, priority):
        await batched.infer(X, priority=priority)
        order.append(priority)

    async with (
        model.batched(max_batch=1, max_wait=0) as batched,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(2):
            tasks.start_soon(batched.infer, X)
        await until(lambda: batched.stats().in_flight == 2)
        for priority in (0, 1, 2):
            tasks.start_soon(one, batched, priority)
    assert order == [2, 1, 0]


@pytest.mark.parametrize("device", ["soft:0"], indirect=True)
async def test_callers_may_bring_batches_and_arrays_for_the_outputs(model):
    out = [np.zeros((3, 8), np.float32)]
    found = {}

    async with model.batched(max_batch=8, max_wait=1) as batched:

        async def bring():
            found["out"] = await batched.infer(np.stack([X] * 3), out=out)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bring)
            found["alone"] = (await batched.infer(X + 5))[0]
        (large,) = await batched.infer(np.zeros((20, 8), np.float32))
        frozen = np.zeros(8, np.float32)
        frozen.flags.writeable = False
        with pytest.raises(maccel_aio.InvalidError):
            await batched.infer(X, out=[frozen])
    assert found["out"][0] is out[0]
    np.testing.assert_array_equal(out[0], np.stack([X] * 3) + 1)
    np.testing.assert_array_equal(found["alone"], X + 6)
    assert large.shape == (20, 8)
    assert batched.stats().sizes == (1, 0, 1, 0, 0, 0, 0, 1)


async def test_forms_do_not_mix(tmp_path):
    """Floats, pixels and the two layouts: each has its own batch, and each its right result."""
    path = mxqtools.image(tmp_path / "image.mxq", 3, 4, 5)
    rng = np.random.default_rng(1)
    hwc = rng.integers(0, 200, (4, 5, 3)).astype(np.float32)
    xs = [hwc, hwc.transpose(2, 0, 1), hwc.astype(np.uint8), hwc.astype(np.float64)] * 2
    async with maccel_aio.load(path) as model:
        alone = [(await model.infer(x))[0] for x in xs]
        async with model.batched(max_batch=8, max_wait=1) as batched:
            found = await all_of(batched, xs)
    for index, y in enumerate(alone):
        np.testing.assert_array_equal(found[index], y)
    assert batched.stats().batches == 4  # the first comes when all is quiet


async def test_large_batches_are_gathered_in_a_thread(tmp_path, monkeypatch):
    monkeypatch.setattr(_batcher, "GATHER_BYTES", 16)
    path = mxqtools.plus(tmp_path / "plus.mxq", 64)
    async with maccel_aio.load(path) as model, model.batched(max_batch=4, max_wait=1) as batched:
        found = await all_of(batched, [np.full(64, i, np.float32) for i in range(4)])
    assert [y[0] for _, y in sorted(found.items())] == [1, 2, 3, 4]


async def test_credits_that_others_hold_are_waited_for(plus_path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?delay_ms=20") as acc,
        acc.load(plus_path, max_inflight=1) as model,
        model.batched(max_batch=2, max_wait=0) as batched,
    ):
        job = model.try_submit(X)
        found = await all_of(batched, [X] * 4)
        await job
    assert all(not isinstance(y, Exception) for y in found.values())
    assert batched.stats().completed == 4


async def test_leaving_the_block_finishes_what_was_accepted(model):
    found = []

    async def one(batched):
        found.append((await batched.infer(X))[0])

    async with anyio.create_task_group() as tasks:
        async with model.batched(max_batch=1, max_wait=1) as batched:
            for _ in range(4):
                tasks.start_soon(one, batched)
            await until(lambda: batched.stats().submitted == 4)
        assert batched.stats().completed == 4
        with pytest.raises(maccel_aio.ClosedError):
            await batched.infer(X)
    assert len(found) == 4


@pytest.mark.parametrize("device", ["fault:soft:0?cores=1&hang_every=1"], indirect=True)
async def test_closing_is_bounded(model):
    problems = []

    async def one(batched):
        try:
            await batched.infer(X)
        except maccel_aio.ClosedError as problem:
            problems.append(problem)

    async with anyio.create_task_group() as tasks:
        batched = model.batched(max_batch=1, max_wait=0)
        await batched.__aenter__()
        for _ in range(4):
            tasks.start_soon(one, batched)
        await until(lambda: batched.stats().submitted == 4)
        with anyio.fail_after(5):
            await batched.aclose(drain=0.01)
            await batched.aclose()
    assert len(problems) == 4


async def test_a_model_that_is_closed_meanwhile_tells_everybody(model):
    async with model.batched(max_batch=1, max_wait=0, max_queue=400) as batched:
        found = {}

        async def call():
            found.update(await all_of(batched, [X] * 300))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await until(lambda: batched.stats().submitted == 300)
            await model.aclose(0.1)
    problems = [y for y in found.values() if isinstance(y, maccel_aio.ClosedError)]
    assert len(problems) >= 296


async def test_a_group_that_is_cancelled_leaves_nobody_behind(model):
    found = {}

    async def call(batched):
        found.update(await all_of(batched, [X] * 6))

    async with anyio.create_task_group() as tasks:
        with anyio.move_on_after(0.01):
            async with model.batched(max_batch=1, max_wait=0) as batched:
                tasks.start_soon(call, batched)
                await anyio.sleep(30)
    assert len(found) == 6


def test_impossible_bounds(plus_path):
    model = maccel_aio.Model(plus_path)
    for options in ({"max_batch": 0}, {"max_queue": 0}, {"max_wait": -1}, {"max_wait": np.nan}):
        with pytest.raises(maccel_aio.InvalidError):
            model.batched(**options)
    assert repr(model.batched()) == "<BatchedModel new>"
    with pytest.raises(maccel_aio.ClosedError):
        model.batched().stats()


async def test_what_cannot_be_batched(tmp_path, plus):
    batched = plus.batched()
    with pytest.raises(maccel_aio.ClosedError):
        await batched.infer(X)
    async with batched:
        assert "open" in repr(batched)
        with pytest.raises(maccel_aio.InvalidError):
            await batched.__aenter__()
    path = mxqtools.image(tmp_path / "image.mxq", 3, 4, 5, batch_axis=None)
    async with maccel_aio.load(path) as model:
        with pytest.raises(maccel_aio.UnsupportedError):
            await model.batched().__aenter__()


async def test_it_belongs_to_its_loop(plus):
    async with plus.batched() as batched:

        def elsewhere():
            async def call():
                await batched.infer(X)

            with pytest.raises(maccel_aio.WrongLoopError):
                anyio.run(call)

        await anyio.to_thread.run_sync(elsewhere)
