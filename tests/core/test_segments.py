"""Models of several segments in event loops: results, credits, counters, cancellation, errors."""

import json
import threading
import time

import anyio
import anyio.lowlevel
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import maccel_aio
import maccel_aio.sync
from maccel_aio import JobState
from maccel_aio._core import _guard
from maccel_aio._core._cpu import CpuSegment
from tests.core import mxqtools

N = 8
X = np.arange(N, dtype=np.float32)


def expected(x):
    return (x + 1) * 2 + 10


def doubling(n=N):
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "a"], ["b"])], "g",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, [1, n])],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, n])],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return made.SerializeToString()


@pytest.fixture
def path(tmp_path):
    """(x + 1) * 2 + 10: NPU, CPU, NPU."""
    return mxqtools.segmented(tmp_path / "segmented.mxq", N, doubling())


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A network whose middle the compiler gives to the CPU, with the ONNX model it came from."""
    rng = np.random.default_rng(4)
    weight = rng.normal(0, 0.3, (12, 12)).astype(np.float32)
    tensors = [onnx.numpy_helper.from_array(weight, "w"),
               onnx.numpy_helper.from_array(np.array(1, np.int64), "axis")]  # fmt: skip
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("CumSum", ["h", "axis"], ["c"]),
        helper.make_node("MatMul", ["c", "w"], ["y"]),
    ]
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 12])  # noqa: E731
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path_factory.mktemp("compiled") / "cumsum.mxq"
    samples = rng.normal(0, 1, (16, 12)).astype(np.float32)
    maccel_aio.compile(model, path, calibration={"x": samples})
    return path, samples, np.cumsum(samples @ weight, axis=1) @ weight


async def until(condition):
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - counters, not events
            await anyio.sleep(0.001)


async def test_a_compiled_model_with_an_operator_of_the_cpu(compiled):
    path, samples, wanted = compiled
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(path) as model:
        kinds = [segment.kind for segment in model.manifest.variants[0].segments]
        assert kinds == ["npu", "cpu", "npu"]
        for sample, reference in zip(samples, wanted, strict=True):
            (y,) = await model.infer(sample)
            error = np.abs(y - reference).max() / np.abs(wanted).max()
            assert error < 0.1, "the segments do not fit together"
        (batch,) = await model.infer(samples)
        singles = [(await model.infer(sample))[0] for sample in samples]
        np.testing.assert_array_equal(batch, np.stack(singles))


async def test_many_at_one_time_get_their_own_results(path):
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(path, max_inflight=5) as model:
        results = {}

        async def one(index):
            (results[index],) = await model.infer(X * index)

        async with anyio.create_task_group() as group:
            for index in range(25):
                group.start_soon(one, index)
        for index in range(25):
            np.testing.assert_array_equal(results[index], expected(X * index))


async def test_the_device_computes_while_another_request_is_on_the_cpu(path, tmp_path, monkeypatch):
    gate, entered, run = threading.Event(), threading.Event(), CpuSegment.run
    calls: list[None] = []

    def held(segment, values):
        calls.append(None)
        if len(calls) == 1:
            entered.set()
            assert gate.wait(20)
        return run(segment, values)

    monkeypatch.setattr(CpuSegment, "run", held)
    file = tmp_path / "trace.json"
    device = maccel_aio.Accelerator("soft:0")
    async with device as acc, acc.load(path) as model, maccel_aio.trace(file):
        first = await model.submit(X)
        await until(entered.is_set)
        began = time.monotonic_ns() / 1e3
        (y,) = await model.infer(X * 2)
        ended = time.monotonic_ns() / 1e3
        np.testing.assert_array_equal(y, expected(X * 2))
        assert not first.done()
        gate.set()
        np.testing.assert_array_equal((await first)[0], expected(X))
    events = json.loads(await anyio.Path(file).read_text())["traceEvents"]
    spans = [(e["cat"], e["ts"], e["ts"] + e["dur"]) for e in events if e["ph"] == "X"]
    inside = [cat for cat, start, stop in spans if began <= start <= stop <= ended]
    assert sorted(inside) == ["cpu", "npu", "npu"]  # all of the second, while the first was held
    assert sorted(cat for cat, *_ in spans) == ["cpu", "cpu", "npu", "npu", "npu", "npu"]


async def test_a_request_counts_once_however_many_segments_it_has(path):
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(path) as model:
        for _ in range(3):
            await model.infer(X)
        job = await model.submit(X)
        assert model.stats().in_flight == 1
        await job
        with pytest.raises(maccel_aio.MaccelError):
            await model.infer(X[:3])
        stats = model.stats()
        assert (stats.submitted, stats.completed, stats.in_flight) == (4, 4, 0)
        assert stats.lag_mean_ns > 0
        assert acc.stats().completed == 8
        assert "[0 in flight, 0 waiting, 4 completed]" in repr(model)


def test_a_blocking_request_counts_once_too(path):
    with maccel_aio.sync.Accelerator("soft:0") as acc, acc.load(path) as model:
        model.infer(X)
        model.submit(X).result()
        assert (model.stats().submitted, model.stats().completed) == (2, 2)


async def test_credits_bound_requests_and_not_segments(path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?delay_ms=3") as acc,
        acc.load(path, max_inflight=2, max_waiting=3) as model,
    ):
        jobs = [model.try_submit(X + index) for index in range(2)]
        with pytest.raises(maccel_aio.QueueFullError):
            model.try_submit(X)
        shed = []

        async def one():
            try:
                await model.infer(X)
            except maccel_aio.QueueFullError:
                shed.append(1)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(one)
        assert len(shed) == 2
        for index, job in enumerate(jobs):
            np.testing.assert_array_equal((await job)[0], expected(X + index))


async def test_a_stream_over_segments(path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?reorder=1&seed=2&delay_ms=0.5") as acc,
        acc.load(path) as model,
        model.stream([X * index for index in range(20)], depth=5) as stream,
    ):
        index = 0
        async for item in stream:
            np.testing.assert_array_equal(item.outputs[0], expected(X * index))
            index += 1
    assert stream.statistics() == (20, 20, 0, 0, 0)


async def test_a_deadline_and_a_failure_of_a_segment_are_the_requests(path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?cores=1&delay_ms=15") as acc,
        acc.load(path) as model,
    ):
        with pytest.raises(maccel_aio.DeadlineError):
            await model.infer(X, deadline=0.01)  # it passes while the first segment runs
        assert model.stats().expired == 1
    async with (
        maccel_aio.Accelerator("fault:soft:0?fail_every=2") as acc,
        acc.load(path) as model,
    ):
        job = await model.submit(X)
        with pytest.raises(maccel_aio.InferenceError):
            await job
        assert (job.state, model.stats().failed) == (JobState.FAILED, 1)


async def test_a_failing_cpu_segment_is_an_inference_error(path, monkeypatch):
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(path) as model:
        await model.infer(X)

        def fails(self, values):
            raise ZeroDivisionError("inside the runtime of the CPU")

        monkeypatch.setattr(CpuSegment, "run", fails)
        with pytest.raises(maccel_aio.InferenceError, match="ZeroDivisionError") as caught:
            await model.infer(X)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        monkeypatch.undo()
        np.testing.assert_array_equal((await model.infer(X))[0], expected(X))


@pytest.fixture
def gate(monkeypatch):
    """Let the CPU segments of requests begin, and hold them until the gate opens."""
    original = CpuSegment.run
    begun, opened = threading.Event(), threading.Event()

    def run(self, values):
        begun.set()
        assert opened.wait(20)
        return original(self, values)

    monkeypatch.setattr(CpuSegment, "run", run)
    yield begun, opened
    opened.set()


@pytest.mark.parametrize("owned", [True, False], ids=["own memory", "out"])
async def test_a_job_can_be_cancelled_while_the_cpu_works(path, gate, owned):
    begun, opened = gate
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(path, max_inflight=1) as model:
        out = np.zeros(N, np.float32)
        job = await model.submit(X, out=None if owned else [out])
        await until(begun.is_set)
        assert job.cancel() is job.cancel() is maccel_aio.CancelOutcome.ABANDONED
        assert job.done() is owned  # with an array of the caller's it waits for the segment
        with pytest.raises(maccel_aio.QueueFullError):
            model.try_submit(X)  # the work goes on, and so the credit is taken
        assert model.stats().abandoned == 1
        opened.set()
        with pytest.raises(maccel_aio.CancelledRequestError):
            await job
        await until(lambda: model.stats().in_flight == 0)
        assert not out.any()
        assert (job.state, model.stats().cancelled) == (JobState.CANCELLED, 1)
        np.testing.assert_array_equal((await model.infer(X))[0], expected(X))


async def test_a_task_can_be_cancelled_in_each_segment(path):
    device = "fault:soft:0?cores=1&delay_ms=8"
    async with maccel_aio.Accelerator(device) as acc, acc.load(path) as model:
        for step in range(8):
            with anyio.move_on_after(0.003 * step):
                await model.infer(X)
        await until(lambda: model.stats().in_flight == 0)
        stats = model.stats()
        assert stats.submitted == stats.completed + stats.cancelled
        np.testing.assert_array_equal((await model.infer(X))[0], expected(X))


async def test_pitfall_19_a_cancelled_request_keeps_its_credit_while_a_segment_runs(path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?delay_ms=60") as acc,
        acc.load(path, max_inflight=1) as model,
    ):
        for _ in range(3):
            async with anyio.create_task_group() as group:
                group.start_soon(model.infer, X)
                await until(lambda: acc.stats().running == 1)
                group.cancel_scope.cancel()
            assert acc.stats().running == model.stats().in_flight == 1
            with pytest.raises(maccel_aio.QueueFullError):
                model.try_submit(X)
            await until(lambda: model.stats().in_flight == 0)
        assert (model.stats().cancelled, model.stats().submitted) == (3, 3)


async def test_a_cancelled_job_does_not_write_the_callers_array(path):
    """Also when its last segment completed in the same turn of the loop."""
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(path) as model:
        for turns in range(40):
            out = np.zeros(N, np.float32)
            job = await model.submit(X, out=[out])
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            cancelled = job.cancel() is not maccel_aio.CancelOutcome.DONE
            before = out.copy()
            await until(lambda: model.stats().in_flight == 0)
            if cancelled:
                np.testing.assert_array_equal(out, before)


async def test_closing_ends_requests_between_segments(path, gate):
    begun, opened = gate
    async with maccel_aio.Accelerator("soft:0") as acc:
        model = await acc.load(path)
        job = await model.submit(X)
        await until(begun.is_set)
        async with anyio.create_task_group() as group:
            group.start_soon(model.aclose)
            await until(lambda: "closed" in repr(model))
            opened.set()
        with pytest.raises(maccel_aio.ClosedError):
            await job
        assert model.stats().in_flight == 0


@pytest.mark.parametrize("call", ["infer", "submit", "try_submit"])
async def test_bad_arguments_are_refused_before_anything_is_submitted(path, call):
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(path) as model:
        locked = np.zeros(N, np.float32)
        locked.flags.writeable = False
        cases = [
            (X, [np.zeros(3, np.float32)], maccel_aio.ShapeError, "out for 'y' must be float32"),
            (X, [np.zeros(N)], maccel_aio.ShapeError, "got float64"),
            (X, [], maccel_aio.ShapeError, "must hold 1 arrays, got 0"),
            (X, [locked], maccel_aio.InvalidError, "read-only"),
            (X.astype(np.int8), None, maccel_aio.UnsupportedError, "without CPU segments"),
            (X[:3], None, maccel_aio.ShapeError, "expected x"),
        ]
        for x, out, error, match in cases:
            with pytest.raises(error, match=match):  # noqa: PT012 - one of the two raises
                made = getattr(model, call)(x, out=out)
                if call != "try_submit":
                    await made
        assert model.stats().submitted == 0
        assert acc.stats().submitted == 0


async def test_two_requests_cannot_write_one_array(path, gate):
    begun, opened = gate
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(path) as model:
        out = np.zeros(N, np.float32)
        job = await model.submit(X, out=[out])
        await until(begun.is_set)
        with pytest.raises(maccel_aio.BufferInUseError):
            await model.infer(X, out=[out[::-1]])
        opened.set()
        assert (await job)[0] is out
        np.testing.assert_array_equal(out, expected(X))
        assert _guard.claims() == 0
        await model.infer(X * 2, out=[out])
        np.testing.assert_array_equal(out, expected(X * 2))


def test_blocking_streams_and_background_jobs(path):
    with maccel_aio.sync.Accelerator("soft:0") as acc, acc.load(path) as model:
        items = list(model.stream([X, X * 2, np.zeros(3)], on_error="yield", depth=2))
        assert [item.error is None for item in items] == [True, True, False]
        np.testing.assert_array_equal(items[1].outputs[0], expected(X * 2))
        job = model.submit(X)
        assert job.wait(20)
        assert job.cancel() is maccel_aio.CancelOutcome.DONE
        assert (job.state, job.done()) == (JobState.DONE, True)


def test_a_background_job_can_be_waited_for_in_steps(path, gate):
    _, opened = gate
    with maccel_aio.sync.Accelerator("soft:0") as acc, acc.load(path) as model:
        job = model.submit(X)
        assert job.state is JobState.QUEUED
        with pytest.raises(maccel_aio.WaitTimeoutError):
            job.result(0.01)
        opened.set()
        np.testing.assert_array_equal(job.result(20)[0], expected(X))


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(items=st.integers(1, 4), batched=st.booleans(), flipped=st.booleans(), f=st.booleans())
def test_any_strides_pass_through_the_segments(path, items, batched, flipped, f):
    x = np.random.default_rng(items).random((items, N) if batched else (N,), np.float32)
    x = x[..., ::-1] if flipped else x
    x = np.asfortranarray(x) if f else x
    before = x.copy()
    with maccel_aio.sync.Accelerator("soft:0") as acc, acc.load(path) as model:
        (y,) = model.infer(x)
    np.testing.assert_allclose(y, expected(x), rtol=1e-6)
    np.testing.assert_array_equal(x, before)
    assert y.flags.writeable


def test_the_threads_of_cpu_segments_do_not_spin(path):
    """They would keep the cores of the software NPU off their CPUs."""
    with maccel_aio.sync.load(path) as model:
        assert model._resident is not None
        cpu = model._resident.loaded[0].stages[1].cpu
        assert cpu is not None
        options = cpu._session.get_session_options()
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
