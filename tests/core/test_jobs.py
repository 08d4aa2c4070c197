"""Jobs, admission, deadlines, failures and the life of devices."""

import contextvars

import anyio
import numpy as np
import pytest

import maccel_aio
from maccel_aio import JobState

X = np.arange(8, dtype=np.float32)


async def until(condition):
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - counters, not events
            await anyio.sleep(0.001)


async def test_a_job_can_be_awaited_again_and_again(plus):
    job = await plus.submit(X)
    for _ in range(3):
        np.testing.assert_array_equal((await job)[0], X + 1)
    assert job.done()
    assert job.state is JobState.DONE
    assert job.result()[0] is (await job)[0]
    timing = job.timing
    assert 0 < timing.t_submit <= timing.t_start <= timing.t_done <= timing.t_reaped
    assert "done" in repr(job)


async def test_a_result_that_is_not_there_yet_is_an_error(plus_path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?delay_ms=30") as acc,
        acc.load(plus_path) as model,
    ):
        job = model.try_submit(X)
        with pytest.raises(maccel_aio.InvalidError):
            job.result()
        await job


async def test_callbacks_run_once_in_their_context_and_may_fail(plus, caplog):
    variable = contextvars.ContextVar("variable", default=0)
    seen: list[object] = []
    variable.set(7)
    job = await plus.submit(X)
    job.add_done_callback(lambda job: seen.append((job.state, variable.get())))
    job.add_done_callback(lambda _: 1 / 0)
    variable.set(8)
    await job
    await until(lambda: len(seen) == 1)
    job.add_done_callback(lambda _: seen.append(variable.get()))
    await until(lambda: len(seen) == 2)
    assert seen == [(JobState.DONE, 7), 8]
    assert "a done-callback of" in caplog.text


async def test_try_submit_never_waits(plus_path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?delay_ms=30") as acc,
        acc.load(plus_path, max_inflight=2) as model,
    ):
        jobs = [model.try_submit(X) for _ in range(2)]
        with pytest.raises(maccel_aio.QueueFullError):
            model.try_submit(X)
        for job in jobs:
            await job
        await model.try_submit(X)


async def test_credits_are_given_in_order(plus_path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?delay_ms=2") as acc,
        acc.load(plus_path, max_inflight=1) as model,
    ):
        order = []

        async def one(index):
            await model.submit(X)
            order.append(index)

        async with anyio.create_task_group() as group:
            for index in range(10):
                group.start_soon(one, index)
                await until(lambda: len(order) + model.stats().waiting == index + 1)  # noqa: B023
        assert order == list(range(10))
        await until(lambda: model.stats().in_flight == 0)


async def test_too_many_waiters_are_shed(plus_path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?delay_ms=20") as acc,
        acc.load(plus_path, max_inflight=1, max_waiting=2) as model,
    ):
        shed = []

        async def one():
            try:
                await model.infer(X)
            except maccel_aio.QueueFullError:
                shed.append(1)

        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(one)
        assert len(shed) == 3
        assert model.stats().completed == 3


async def test_a_deadline_that_passed_in_the_queue_never_runs(plus_path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?cores=1&delay_ms=60") as acc,
        acc.load(plus_path) as model,
    ):
        first = await model.submit(X)
        with pytest.raises(maccel_aio.DeadlineError) as caught:
            await model.infer(X, deadline=0.02)
        assert isinstance(caught.value, TimeoutError)
        await first
        assert (model.stats().completed, model.stats().expired) == (1, 1)
        assert acc.stats().expired == 1
        with pytest.raises(maccel_aio.DeadlineError):
            await model.infer(X, deadline=-1)
        with pytest.raises(maccel_aio.InvalidError):
            await model.infer(X, deadline=float("nan"))
        (y,) = await model.infer(X, deadline=30)
        np.testing.assert_array_equal(y, X + 1)


async def test_priority_overtakes_what_waits_on_the_device(plus_path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?cores=1&delay_ms=30") as acc,
        acc.load(plus_path) as model,
    ):
        jobs = [await model.submit(X)]
        await until(lambda: acc.stats().running >= 1)
        jobs += [await model.submit(X, priority=p) for p in (0, 0, 5)]
        for job in jobs:
            await job
        starts = [job.timing.t_start for job in jobs]
        assert starts[3] < starts[1] < starts[2]


async def test_one_failure_concerns_one_request(plus_path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?fail_every=3") as acc,
        acc.load(plus_path) as model,
    ):
        failed = 0
        for index in range(30):
            try:
                (y,) = await model.infer(X + index)
                np.testing.assert_array_equal(y, X + index + 1)
            except maccel_aio.InferenceError:
                failed += 1
        assert failed == 10
        assert model.stats().failed == 10


async def test_a_lost_device_fails_every_request_once(plus_path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?lose_after=5&delay_ms=5") as acc,
        acc.load(plus_path) as model,
    ):
        results = []

        async def one():
            try:
                await model.infer(X)
                results.append("ok")
            except maccel_aio.DeviceLostError:
                results.append("lost")

        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(one)
        assert sorted(results) == ["lost"] * 95 + ["ok"] * 5
        with pytest.raises(maccel_aio.DeviceLostError):
            await model.infer(X)


async def test_closing_with_work_in_flight_is_bounded(plus_path):
    async with maccel_aio.Accelerator("fault:soft:0?cores=1&delay_ms=40") as acc:
        model = await acc.load(plus_path, max_inflight=4)
        ended = []

        async def one():
            try:
                await model.infer(X)
                ended.append("ok")
            except maccel_aio.ClosedError:
                ended.append("closed")

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(one)
            await until(lambda: acc.stats().running >= 1 and model.stats().waiting == 4)
            report = await model.aclose(drain=10)
            assert report == (4, 0, False)
            assert report == await model.aclose()
        assert sorted(ended) == ["closed"] * 7 + ["ok"]
        with pytest.raises(maccel_aio.ClosedError):
            await model.infer(X)


async def test_closing_a_hung_device_is_bounded_and_reported(plus_path):
    acc = maccel_aio.Accelerator("fault:soft:0?hang_every=2")
    model = await acc.load(plus_path)
    await model.infer(X)
    job = await model.submit(X)
    await anyio.sleep(0.1)  # it must be on the device, where it stays
    with anyio.fail_after(20):
        report = await acc.aclose(drain=0.3)
    assert report.timed_out
    with pytest.raises(maccel_aio.MaccelError):
        await job
    assert report == await acc.aclose()


async def test_closing_is_shielded(plus_path):
    acc = maccel_aio.Accelerator("soft:0")
    model = await acc.load(plus_path)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await acc.aclose()
    assert "closed" in repr(acc)
    assert "closed" in repr(model)


async def test_accelerators_of_one_name_share_the_device(plus_path):
    async with maccel_aio.Accelerator("soft:3") as one:
        async with maccel_aio.Accelerator(3) as two:
            assert one._device is two._device
            model = await two.load(plus_path)
            await model.infer(X)
        assert one.stats().completed == 1
        async with one.load(plus_path) as model:
            await model.infer(X)
        assert len(one.cores) == 8
        assert one.name == "soft:3"


async def test_unknown_devices_are_refused():
    for name in ["nothing", "soft:x"]:
        with pytest.raises(maccel_aio.MaccelError):
            async with maccel_aio.Accelerator(name):
                pass
    for wrong in [3.5, None, True, ("soft",)]:
        with pytest.raises(maccel_aio.InvalidError):
            maccel_aio.Accelerator(wrong)  # type: ignore[arg-type]
    with pytest.raises(maccel_aio.ClosedError, match="not open yet"):
        _ = maccel_aio.Accelerator("null").cores


async def test_the_ring_is_shared_fairly_when_slots_run_out(plus_path, monkeypatch):
    monkeypatch.setattr("maccel_aio._core._reactor.RING_CREDITS", 2)
    async with maccel_aio.Accelerator("fault:soft:0?delay_ms=2") as acc:
        one, two = await acc.load(plus_path), await acc.load(plus_path)
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(one.infer, X)
                group.start_soon(two.infer, X)
        assert (one.stats().completed, two.stats().completed) == (20, 20)


async def test_slots_are_reused_and_nothing_accumulates(plus):
    for _ in range(3):
        for _ in range(200):
            await plus.infer(X)
        (port,) = plus._ports
        assert len(port.ring._slots) == 1
        assert port.ring.busy == 0
