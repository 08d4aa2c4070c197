"""The blocking twin."""

import os
import signal
import threading
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import maccel_aio
import maccel_aio.sync as maccel
from maccel_aio import CancelOutcome, JobState
from tests.core import mxqtools

X = np.arange(8, dtype=np.float32)

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def path(tmp_path):
    return mxqtools.plus(tmp_path / "plus.mxq", 8)


@pytest.fixture
def model(path):
    with maccel.Accelerator("soft:0") as acc, acc.load(path) as model:
        yield model


def doubling_graph(n):
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "a"], ["b"])], "g",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, [1, n])],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, n])],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    onnx.checker.check_model(made)
    return made.SerializeToString()


def test_infer_and_out(model):
    np.testing.assert_array_equal(model.infer(X)[0], X + 1)
    out = np.empty((2, 8), np.float32)
    assert model.infer(np.stack([X, X]), out=[out])[0] is out
    np.testing.assert_array_equal(out, [X + 1, X + 1])
    with pytest.raises(maccel_aio.ShapeError):
        model.infer(np.zeros(3))
    assert "launched" in repr(model)
    assert model.speedrun(2) > 0


def test_jobs_may_be_awaited_by_any_thread(path):
    with maccel.Accelerator("fault:soft:0?delay_ms=5") as acc, acc.load(path) as model:
        jobs = [model.submit(X + index) for index in range(20)]
        results = {}

        def collect(index):
            (results[index],) = jobs[index].result(20)

        threads = [threading.Thread(target=collect, args=(index,)) for index in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for index in range(20):
            np.testing.assert_array_equal(results[index], X + index + 1)
        assert jobs[0].done()
        assert jobs[0].state is JobState.DONE
        assert jobs[0].timing.t_done > 0


def test_a_job_makes_progress_while_it_is_only_polled(model):
    job = model.submit(X)
    limit = time.monotonic() + 20
    while not job.done() and time.monotonic() < limit:
        time.sleep(0.001)
    np.testing.assert_array_equal(job.result()[0], X + 1)


def test_many_threads_with_distinct_inputs(path):
    bad = []
    with maccel.Accelerator("soft:0") as acc, acc.load(path) as model:

        def run(offset):
            for index in range(60):
                x = X + offset * 1000 + index
                if not np.array_equal(model.infer(x)[0], x + 1):
                    bad.append((offset, index))

        threads = [threading.Thread(target=run, args=(offset,)) for offset in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not bad
        model.infer(X)
        assert model.stats().completed == 16 * 60 + 1


def test_threads_that_end_leave_no_rings_behind(path):
    with maccel.Accelerator("soft:0") as acc, acc.load(path) as model:
        for _ in range(30):
            thread = threading.Thread(target=model.infer, args=(X,))
            thread.start()
            thread.join()
        assert len(model._ports) <= 2
        assert len(acc._here().thread_rings) <= 2
        assert model.stats().completed == 30


def test_timeout_cancels_and_keeps_memory_safe(path):
    with maccel.Accelerator("fault:soft:0?delay_ms=80") as acc, acc.load(path) as model:
        out = np.zeros(8, np.float32)
        with pytest.raises(maccel_aio.WaitTimeoutError) as caught:
            model.infer(X, out=[out], timeout=0.02)
        assert isinstance(caught.value, TimeoutError)
        assert model.stats().in_flight == 0
        with pytest.raises(maccel_aio.WaitTimeoutError):
            model.infer(X, timeout=0.05)
        assert model.stats().abandoned == 1
        job = model.submit(X)
        with pytest.raises(maccel_aio.WaitTimeoutError):
            job.result(0.01)
        np.testing.assert_array_equal(job.result()[0], X + 1)


def test_cancelling_a_job(path):
    with maccel.Accelerator("fault:soft:0?cores=1&delay_ms=50") as acc, acc.load(path) as model:
        first, second = model.submit(X), model.submit(X)
        limit = time.monotonic() + 20
        while not acc.stats().running and time.monotonic() < limit:
            time.sleep(0.001)
        assert second.cancel() is CancelOutcome.REMOVED
        with pytest.raises(maccel_aio.CancelledRequestError):
            second.result()
        assert first.cancel() is CancelOutcome.ABANDONED
        with pytest.raises(maccel_aio.CancelledRequestError):
            first.result()


def test_credits_bound_a_thread(path):
    with (
        maccel.Accelerator("fault:soft:0?delay_ms=20") as acc,
        acc.load(path, max_inflight=2) as model,
    ):
        jobs = [model.submit(X) for _ in range(2)]
        with pytest.raises(maccel_aio.QueueFullError):
            model.submit(X, timeout=0)
        jobs += [model.submit(X) for _ in range(6)]
        for job in jobs:
            job.result()
        assert model.stats().completed == 8


def test_deadlines_and_failures(path):
    device = "fault:soft:0?cores=1&delay_ms=50"
    with maccel.Accelerator(device) as acc, acc.load(path) as model:
        job = model.submit(X)
        with pytest.raises(maccel_aio.DeadlineError):
            model.infer(X, deadline=0.01)
        job.result()
    with maccel.Accelerator("fault:soft:0?fail_every=2") as acc, acc.load(path) as model:
        model.infer(X)
        with pytest.raises(maccel_aio.InferenceError):
            model.infer(X)


def test_streams_keep_their_order(model):
    items = list(
        model.stream((X + i for i in range(30)), prepare=lambda x: x + 1, finish=lambda y: y[0][0])
    )
    assert [item.index for item in items] == list(range(30))
    assert [item.outputs for item in items] == [i + 2.0 for i in range(30)]


def test_streams_raise_or_yield_errors(model):
    source = [X, np.zeros(3), X]
    items = list(model.stream(source, on_error="yield"))
    assert [item.error is None for item in items] == [True, False, True]
    stream = model.stream(source)
    assert next(stream).index == 0
    with pytest.raises(maccel_aio.ShapeError):
        next(stream)
    with pytest.raises(maccel_aio.InvalidError):
        model.stream(source, depth=0)


@pytest.fixture
def interruptible():
    """The handler of a program in the foreground; in the background SIGINT may be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_keyboard_interrupt_ends_a_wait(path, interruptible):
    with maccel.Accelerator("fault:soft:0?hang_every=1") as acc, acc.load(path) as model:
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            model.infer(X)
        timer.join()
        model.close(drain=0.05)
        acc.close(drain=1)


def test_closing_is_bounded_and_idempotent(path):
    acc = maccel.Accelerator("fault:soft:0?hang_every=1")
    model = acc.load(path)
    model.submit(X)
    time.sleep(0.05)
    report = model.close(drain=0.05)
    assert report == (0, 1, True)
    assert model.close() == report
    with pytest.raises(maccel_aio.ClosedError):
        model.infer(X)
    acc.close(drain=0.5)
    acc.close()
    with pytest.raises(maccel_aio.ClosedError):
        acc.open()


def test_load_in_one_step(path):
    with maccel.load(path) as model:
        assert model.infer(X)[0][0] == 1
    with pytest.raises(FileNotFoundError):
        maccel.load("missing.mxq")
    with maccel.Accelerator(0) as acc:
        model = maccel.load(path, accelerator=acc)
        assert model.infer(X)[0][0] == 1


async def test_a_blocking_call_in_an_event_loop_warns_once(path, monkeypatch):
    monkeypatch.setattr(maccel.Model, "_warned", False)
    with maccel.Accelerator("soft:0") as acc, acc.load(path) as model:
        with pytest.warns(RuntimeWarning, match="event loop"):
            model.infer(X)
        model.infer(X)


def test_segments_run_on_both_processors(tmp_path):
    path = mxqtools.segmented(tmp_path / "m.mxq", 8, doubling_graph(8))
    with maccel.Accelerator("soft:0") as acc, acc.load(path) as model:
        np.testing.assert_array_equal(model.infer(X)[0], (X + 1) * 2 + 10)
        batch = np.stack([X, X * 3, X * 5])
        np.testing.assert_array_equal(model.infer(batch)[0], (batch + 1) * 2 + 10)
        jobs = [model.submit(X + i) for i in range(6)]
        for i, job in enumerate(jobs):
            np.testing.assert_array_equal(job.result()[0], (X + i + 1) * 2 + 10)
            assert job.state is JobState.DONE
        assert model.speedrun(1) > 0


async def test_segments_run_asynchronously(tmp_path):
    path = mxqtools.segmented(tmp_path / "m.mxq", 8, doubling_graph(8))
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(path, max_inflight=3) as model:
        np.testing.assert_array_equal((await model.infer(X))[0], (X + 1) * 2 + 10)
        batch = np.stack([X, X * 3])
        out = np.empty((2, 8), np.float32)
        assert (await model.infer(batch, out=[out]))[0] is out
        np.testing.assert_array_equal(out, (batch + 1) * 2 + 10)
        jobs = [await model.submit(X + i) for i in range(10)]
        for i, job in enumerate(jobs):
            np.testing.assert_array_equal((await job)[0], (X + i + 1) * 2 + 10)
        async with model.stream([X, X * 2]) as stream:
            results = [item.outputs[0][1] async for item in stream]
        assert results == [14.0, 16.0]
        job = await model.submit(X)
        job.cancel()
        with pytest.raises(maccel_aio.CancelledRequestError):
            await job
        with pytest.raises(maccel_aio.ShapeError):
            await model.infer(X, out=[np.empty(3, np.float32)])
        with pytest.raises(maccel_aio.UnsupportedError):
            await model.infer(X.astype(np.int8))


def test_one_bundle_of_many_can_be_forced(tmp_path):
    path = mxqtools.segmented(tmp_path / "m.mxq", 8, doubling_graph(8))
    config = maccel.ModelConfig()
    config.force_single_npu_bundle(0)
    with maccel.Accelerator("soft:0") as acc:
        with acc.load(path, config) as model:
            np.testing.assert_array_equal(model.infer(X[None])[0], X[None] + 1)
        config.force_single_npu_bundle(5)
        with pytest.raises(maccel_aio.UnsupportedError, match="no NPU bundle 5"):
            acc.load(path, config)


def test_a_broken_cpu_segment_is_a_format_error(tmp_path):
    path = mxqtools.segmented(tmp_path / "m.mxq", 8, b"garbage")
    with maccel.Accelerator("soft:0") as acc:
        with pytest.raises(maccel_aio.ModelFormatError, match="cpu0") as caught:
            acc.load(path)
        assert caught.value.path == str(path)


def test_the_blocking_twin_has_the_nouns_and_errors_of_the_package():
    only_async = {
        "BatchedModel", "BatchedStats", "DeviceEvent", "DeviceEvents", "DeviceInfo", "Histogram",
        "Hooks", "JobView", "Layer", "Manifest", "Peaks", "Pool", "PoolStats", "PooledModel",
        "ReplicaStats", "Segment", "Stream", "StreamStats", "Trace", "Variant",
    }  # fmt: skip
    functions = {"compile", "isa", "measure_peaks", "open_pool", "read_manifest", "trace"}
    missing = set(maccel_aio.__all__) - only_async - functions - set(maccel.__all__)
    assert missing == set()
    for name in set(maccel_aio.__all__) & set(maccel.__all__) - {
        "Accelerator",
        "BufferPool",
        "Job",
        "Model",
        "load",
    }:
        assert getattr(maccel, name) is getattr(maccel_aio, name)
