"""Blocking waits from many threads: rings, credits, strangers, priorities, loops beside them."""

import asyncio
import functools
import sys
import threading
import time
import warnings
from typing import Any

import numpy as np
import pytest
import trio

import maccel_aio
import maccel_aio.sync as maccel
from maccel_aio import CancelOutcome, JobState
from maccel_aio._core import _blocking, _guard, _lookout

X = np.arange(8, dtype=np.float32)
ONE_CORE = "fault:soft:0?cores=1&delay_ms=20"


@pytest.fixture
def anyio_backend():
    return "asyncio"


def until(condition):
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.0005)


def run_all(*functions):
    """Run functions in threads of their own and raise what any of them raised."""
    problems = []

    def guarded(function):
        try:
            function()
        except BaseException as problem:  # noqa: BLE001 - raised again by the main thread
            problems.append(problem)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    if problems:
        raise problems[0]


def test_a_thread_has_one_ring_for_all_models_of_a_device(plus_path):
    with maccel.Accelerator("soft:0") as acc, acc.load(plus_path) as one:
        with acc.load(plus_path) as two:
            one.infer(X)
            two.infer(X)
            assert one._port_here().ring is two._port_here().ring
            rings = []
            run_all(lambda: rings.append(two._port_here().ring))
            assert rings[0] is not one._port_here().ring
        with maccel.Accelerator("soft:1") as other, other.load(plus_path) as three:
            assert three._port_here().ring is not one._port_here().ring


def test_ring_here_forgets_devices_that_are_closed(plus_path):
    for _ in range(5):
        with maccel.Accelerator("soft:0") as acc, acc.load(plus_path) as model:
            model.infer(X)
    with maccel.Accelerator("soft:0") as acc, acc.load(plus_path) as model:
        model.infer(X)
        rings = _blocking._local.rings
        assert [device for device in rings if not device.closed] == [acc._device]
        assert len(rings) == 1


def test_strangers_and_the_owner_wait_for_one_job(plus_path):
    with maccel.Accelerator(ONE_CORE) as acc, acc.load(plus_path) as model:
        job = model.submit(X)
        results = []
        run_all(*[lambda: results.append(job.result(20)[0])] * 6, lambda: job.wait(20))
        assert all(result is results[0] for result in results)
        np.testing.assert_array_equal(results[0], X + 1)


def test_the_owner_may_submit_while_strangers_wait(plus_path):
    with maccel.Accelerator("fault:soft:0?hang_every=1000") as acc, acc.load(plus_path) as model:
        model.infer(X)
    with maccel.Accelerator("fault:soft:0?delay_ms=30") as acc, acc.load(plus_path) as model:
        slow = model.submit(X)
        strangers = [threading.Thread(target=slow.result, args=(20,)) for _ in range(3)]
        for thread in strangers:
            thread.start()
        for index in range(10):
            np.testing.assert_array_equal(model.infer(X + index, timeout=20)[0], X + index + 1)
        for thread in strangers:
            thread.join(20)
        assert slow.done()


def test_pitfall_24_loops_and_threads_use_one_device_at_one_time(plus_path):
    acc = maccel_aio.Accelerator("fault:soft:0?delay_ms=0.2&reorder=1&seed=4")
    model = asyncio.run(_load(acc, plus_path))
    twin = maccel.Model.share(model)

    async def burst(base):
        jobs = [await model.submit(X + base + index) for index in range(25)]
        for index, job in enumerate(jobs):
            np.testing.assert_array_equal((await job)[0], X + base + index + 1)

    def block(base):
        out = np.zeros(8, np.float32)
        for index in range(25):
            assert twin.infer(X + base + index, out=[out])[0] is out
            np.testing.assert_array_equal(out, X + base + index + 1)

    run_all(
        lambda: asyncio.run(burst(100)), lambda: trio.run(burst, 200), lambda: block(300),
        lambda: block(400), lambda: asyncio.run(burst(500)), lambda: block(600),
    )  # fmt: skip
    assert (model.stats().completed, twin.stats().completed) == (75, 75)
    assert acc.stats().overflow == 0
    twin.close()
    asyncio.run(acc.aclose())


async def _load(acc, path):
    return await acc.load(path)


async def test_pitfall_25_a_blocking_call_in_a_loop_warns_and_works(plus_path, monkeypatch):
    monkeypatch.setattr(maccel.Model, "_warned", False)
    with maccel.Accelerator("fault:soft:0?delay_ms=2") as acc, acc.load(plus_path) as model:
        with pytest.warns(RuntimeWarning, match=r"use maccel_aio\.Model there") as caught:
            np.testing.assert_array_equal(model.infer(X)[0], X + 1)
        assert caught[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.infer(X)


async def test_pitfall_25_in_a_worker_thread_of_a_loop_it_is_silent(plus_path, monkeypatch):
    monkeypatch.setattr(maccel.Model, "_warned", False)
    with maccel.Accelerator("soft:0") as acc, acc.load(plus_path) as model:
        assert (await asyncio.to_thread(model.infer, X))[0][0] == 1
    assert not maccel.Model._warned


def test_timeouts_in_each_state(plus_path):
    with maccel.Accelerator(ONE_CORE) as acc, acc.load(plus_path, max_inflight=2) as model:
        first = model.submit(X)
        until(lambda: acc.stats().running == 1)
        with pytest.raises(maccel_aio.WaitTimeoutError):
            model.infer(X, timeout=0)  # queued on the device: removed
        until(lambda: first.done() or model.stats().in_flight == 1)
        model.submit(X)
        with pytest.raises(maccel_aio.QueueFullError):
            model.submit(X, timeout=0)
        first.result()
        out = np.zeros(8, np.float32)
        with pytest.raises(maccel_aio.WaitTimeoutError):
            model.infer(X, out=[out], timeout=0.001)
        assert _guard.claims() == 0
        assert first.wait(0) is True
    with pytest.raises(maccel_aio.ClosedError):
        model.infer(X)


def test_calls_like_one_before_take_the_short_way_and_give_the_same(plus_path):
    unaligned = np.frombuffer(b"-" + X.tobytes(), np.uint8)[1:].view(np.float32)
    assert not unaligned.flags.aligned
    with maccel.Accelerator(ONE_CORE) as acc, acc.load(plus_path) as model:
        assert model.forms.find(X) is None
        outputs = [model.infer(X + index)[0] for index in range(5)]
        assert model.forms.find(X) is not None
        for index, output in enumerate(outputs):  # none of them overwritten by a later call
            np.testing.assert_array_equal(output, X + index + 1)
        assert model.forms.find(unaligned) is None
        np.testing.assert_array_equal(model.infer(unaligned)[0], X + 1)
        np.testing.assert_array_equal(model.infer(np.repeat(X, 2)[::2])[0], X + 1)
        assert model.stats().completed == 7
    with pytest.raises(maccel_aio.ClosedError):
        model.infer(X)


def test_the_short_way_is_for_calls_without_options(plus_path):
    with maccel.Accelerator(ONE_CORE) as acc, acc.load(plus_path) as model:
        model.infer(X)
        out = np.zeros(8, np.float32)
        assert model.infer(X, out=[out])[0] is out
        np.testing.assert_array_equal(out, X + 1)
        with pytest.raises(maccel_aio.DeadlineError):
            model.infer(X, deadline=0.0)
        with pytest.raises(maccel_aio.InvalidError):
            model.infer(X, priority="high")  # type: ignore[arg-type]


def test_an_array_of_a_hung_request_is_quarantined(plus_path):
    with maccel.Accelerator("fault:soft:0?hang_every=1") as acc:
        model = acc.load(plus_path, cancel_grace=0.02)
        out = np.zeros(8, np.float32)
        with pytest.raises(maccel_aio.WaitTimeoutError):
            model.infer(X, out=[out], timeout=0.5)  # long enough to be begun
        with pytest.raises(maccel_aio.BufferInUseError):
            model.submit(X, out=[out])
        assert model.stats().abandoned == 1
        assert model.close(drain=0.02) == (0, 1, True)
        assert acc.close(drain=0.5).timed_out is False


def test_priority_decides_what_a_busy_core_takes_next(plus_path):
    with maccel.Accelerator(ONE_CORE) as acc, acc.load(plus_path) as model:
        blocker = model.submit(X)
        until(lambda: acc.stats().running == 1)
        jobs = {p: model.submit(X, priority=p) for p in (0, -5, 3, 9, -1)}
        blocker.result()
        for job in jobs.values():
            job.result()
        starts = sorted(jobs, key=lambda p: jobs[p].timing.t_start)
        assert starts == [9, 3, 0, -1, -5]


def state(job: Any) -> JobState:
    """Read a state that changes behind the back of the type checker."""
    found: JobState = job.state
    return found


def test_states_of_a_job(plus_path):
    with maccel.Accelerator(ONE_CORE) as acc, acc.load(plus_path) as model:
        running, queued, late = model.submit(X), model.submit(X), model.submit(X, deadline=0.001)
        assert state(running) is JobState.QUEUED
        until(lambda: acc.stats().running == 1)
        assert queued.cancel() is CancelOutcome.REMOVED
        assert queued.cancel() is CancelOutcome.DONE
        assert (state(queued), queued.done()) == (JobState.CANCELLED, True)
        assert running.cancel() is running.cancel() is CancelOutcome.ABANDONED
        assert (state(running), running.done()) == (JobState.ABANDONED, True)
        with pytest.raises(maccel_aio.DeadlineError):
            late.result()
        assert (late.state, late.cancel()) == (JobState.FAILED, CancelOutcome.DONE)
        assert "failed" in repr(late)
        until(lambda: running.done() and model.submit(X).wait(1) and model.stats().abandoned == 0)
        assert state(running) is JobState.CANCELLED
        with pytest.raises(maccel_aio.CancelledRequestError):
            running.result()


def test_closing_from_another_thread_ends_a_wait(plus_path):
    acc = maccel.Accelerator("fault:soft:0?hang_every=1")
    model = acc.load(plus_path)
    ends = []

    def waits():
        try:
            model.infer(X)
        except maccel_aio.MaccelError as problem:
            ends.append(type(problem).__name__)

    thread = threading.Thread(target=waits)
    thread.start()
    until(lambda: acc.stats().running == 1)
    assert model.close(drain=0.02).abandoned == 1
    acc.close(drain=1)
    thread.join(10)
    assert ends in (["ClosedError"], ["DeviceLostError"])


def test_one_failure_in_one_thread_harms_no_other(plus_path):
    with maccel.Accelerator("fault:soft:0?fail_every=5") as acc, acc.load(plus_path) as model:
        failed = []

        def run(base):
            for index in range(20):
                try:
                    np.testing.assert_array_equal(model.infer(X + base)[0], X + base + 1)
                except maccel_aio.InferenceError:
                    failed.append((base, index))

        run_all(*(lambda base=base: run(base) for base in range(4)))
        assert len(failed) == 16
        assert (model.stats().failed, model.stats().in_flight) == (16, 0)


def test_a_lost_device_ends_every_wait_of_every_thread(plus_path):
    with maccel.Accelerator("fault:soft:0?hang_every=2&lose_after=4") as acc:
        model = acc.load(plus_path)
        ends = []

        def run():
            try:
                while True:
                    model.infer(X, timeout=20)
                    ends.append("ok")
            except maccel_aio.DeviceLostError:
                ends.append("lost")

        run_all(*[run] * 8)
        assert sorted(ends) == ["lost"] * 8 + ["ok"] * 4


class TestStream:
    """The blocking stream."""

    @pytest.mark.parametrize("depth", [1, 2, 5, None])
    def test_it_is_never_more_than_its_depth_ahead(self, plus_path, depth):
        pulled: list[int] = []

        def source():
            for index in range(40):
                pulled.append(index)
                yield X + index

        with maccel.Accelerator("soft:0") as acc, acc.load(plus_path, max_inflight=3) as model:
            workers = acc.info.workers
            for index, item in enumerate(model.stream(source(), depth=depth)):
                assert item.index == index
                np.testing.assert_array_equal(item.outputs[0], item.value + 1)
                assert len(pulled) - index <= (depth or max(4, 2 * workers))

    def test_leaving_early_cancels_what_is_ahead(self, plus_path):
        with maccel.Accelerator(ONE_CORE) as acc, acc.load(plus_path) as model:
            stream: Any = model.stream([X] * 8, depth=5)
            next(stream)
            stream.close()
            until(lambda: model.submit(X).wait(5) and model.stats().in_flight == 0)
            assert model.stats().cancelled >= 3

    @pytest.mark.parametrize("stage", ["prepare", "finish", "source", "device"])
    @pytest.mark.parametrize("on_error", ["raise", "yield"])
    def test_errors_of_each_stage(self, plus_path, stage, on_error):
        def fails(value):
            raise LookupError("stage")

        def source():
            yield X
            if stage == "source":
                raise LookupError("source")
            yield X

        device = "fault:soft:0?fail_every=1" if stage == "device" else "soft:0"
        with maccel.Accelerator(device) as acc, acc.load(plus_path) as model:
            options: dict[str, Any] = {stage: fails} if stage in ("prepare", "finish") else {}
            stream = model.stream(source(), on_error=on_error, **options)
            if on_error == "raise" or stage == "source":
                with pytest.raises((LookupError, maccel_aio.InferenceError)):
                    list(stream)
                assert list(stream) == []
            else:
                items = list(stream)
                assert [item.outputs for item in items] == [None, None]
                assert all(item.error is not None for item in items)

    def test_two_streams_interleave_in_one_thread(self, plus_path):
        with maccel.Accelerator("soft:0") as acc, acc.load(plus_path) as model:
            one = model.stream([X + index for index in range(10)], finish=lambda y: y[0][0])
            two = model.stream([X * index for index in range(10)], prepare=lambda x: x + 0)
            for index, (a, b) in enumerate(zip(one, two, strict=True)):
                assert a.outputs == index + 1
                np.testing.assert_array_equal(b.outputs[0], X * index + 1)


def test_callbacks_of_many_threads_come_while_all_do_something_else(plus_path):
    told, there = [], threading.Semaphore(0)

    def tell(job):
        told.append(job.result()[0].tolist())
        there.release()

    def submit(first):
        for k in range(first, first + 10):
            model.submit(X + k).add_done_callback(tell)
        for _ in range(10):
            assert there.acquire(timeout=20)

    with maccel.Accelerator("fault:soft:0?cores=2&delay_ms=2") as acc, acc.load(plus_path) as model:
        run_all(*(functools.partial(submit, first) for first in range(0, 40, 10)))
    assert sorted(told) == [(X + k + 1).tolist() for k in range(40)]


def test_a_ring_in_use_holds_up_no_callback_of_others(plus_path, monkeypatch):
    """Shown to fail: with a lookout that waits for the ring that is in use."""
    monkeypatch.setattr(_lookout, "_PATIENCE_S", 1000.0)
    held, told = threading.Event(), threading.Semaphore(0)
    with maccel.Accelerator("fault:soft:0?delay_ms=20") as acc, acc.load(plus_path) as model:

        def keep():
            job, device = model.submit(X), acc._device
            assert device is not None
            with _blocking.ring_here(device).lock:
                job.add_done_callback(lambda _: told.release())
                held.set()
                for _ in range(3):
                    assert told.acquire(timeout=20)

        def use():
            assert held.wait(20)
            for _ in range(3):
                model.submit(X).add_done_callback(lambda _: told.release())

        run_all(keep, use)
        _lookout.lookout._notify()  # in place of the end of its patience
        assert told.acquire(timeout=20)  # that of the ring that was in use


def test_a_cancelled_job_calls_back_once(plus_path):
    told: list[object] = []
    with maccel.Accelerator(ONE_CORE) as acc, acc.load(plus_path) as model:
        jobs = [model.submit(X) for _ in range(3)]
        for job in jobs:
            job.add_done_callback(told.append)
        assert jobs[2].cancel() is CancelOutcome.REMOVED
        until(lambda: len(told) == 3)
        for job in jobs:
            job.wait()
    assert sorted(map(id, told)) == sorted(map(id, jobs))
    told.clear()


def test_a_completion_that_another_thread_takes_meanwhile_decides_a_cancelled_job(plus_path):
    """The thread that cancels stands between the device's answer and the job's state."""
    out = np.zeros(8, np.float32)
    with (
        maccel.Accelerator("fault:soft:0?delay_ms=30") as acc,
        acc.load(plus_path) as model,
    ):
        job: Any = model.submit(X, out=[out])
        until(lambda: acc.stats().running == 1)
        waited = threading.Event()

        def wait_there(_, event, called):
            if event == "c_return" and getattr(called, "__name__", "") == "maccel_ring_cancel":
                sys.setprofile(None)
                waited.wait(20)

        outcomes = []

        def cancel():
            sys.setprofile(wait_there)
            outcomes.append(job.cancel())

        canceller = threading.Thread(target=cancel)
        canceller.start()
        until(lambda: job.wait(5))
        waited.set()
        canceller.join()
        assert outcomes == [maccel.CancelOutcome.DONE]
        assert job.wait(5)
        np.testing.assert_array_equal(job.result()[0], X + 1)
        assert model.stats().abandoned == 0
