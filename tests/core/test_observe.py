"""Hooks: told once of every request, contained when they raise, absent when nobody asked."""

import contextvars

import anyio
import numpy as np
import onnx
import pytest

import maccel_aio
from maccel_aio import JobState
from tests.core import mxqtools
from tests.core.test_jobs import until

X = np.arange(8, dtype=np.float32)


class Notes:
    """Hooks that remember."""

    def __init__(self):
        self.admitted, self.done, self.drops = [], [], []

    def on_admit(self, job):
        self.admitted.append(job)
        return len(self.admitted)

    def on_done(self, job, token):
        self.done.append((job, token))

    def on_drop(self, reason, n):
        self.drops.append((reason, n))


@pytest.fixture
def notes():
    return Notes()


async def test_every_request_is_told_once(plus_path, notes):
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(plus_path, hooks=notes) as model:
        for _ in range(30):  # no short way, however often it was alone, leads past a hook
            await model.infer(X)
        job = model.try_submit(np.stack([X, X]))
        job.tag = "mine"
        await job
        stats = model.stats()
    assert [job.state for job in notes.admitted] == [JobState.QUEUED] * 31
    assert [token for _, token in notes.done] == list(range(1, 32))
    view = notes.done[-1][0]
    assert (view.model, view.device, view.tag, view.items) == (
        str(plus_path), "soft:0", "mine", 2,
    )  # fmt: skip
    assert view.error is None
    assert 0 < view.timing.t_submit <= view.timing.t_start <= view.timing.t_done
    assert stats.lag.total == 31
    assert 0 < stats.lag.percentile(50) <= stats.lag.percentile(99)


@pytest.mark.parametrize("how", ["fail", "cancel", "deadline", "close"])
async def test_every_end_is_told(plus_path, notes, how):
    device = "fault:soft:0?delay_ms=20&cores=1" + ("&fail_every=1" if how == "fail" else "")
    async with maccel_aio.Accelerator(device) as acc:
        model = await acc.load(plus_path, hooks=notes)
        jobs = [model.try_submit(X, deadline=0.001 if how == "deadline" and n else None)
                for n in range(12)]  # fmt: skip
        if how == "cancel":
            for job in jobs:
                job.cancel()
        if how == "close":
            await model.aclose(0)
        await until(lambda: len(notes.done) == 12)
        await model.aclose()
    assert sorted(token for _, token in notes.done) == list(range(1, 13))
    states = {job.state for job, _ in notes.done}
    errors = {type(job.error) for job, _ in notes.done}
    if how == "fail":
        assert errors == {maccel_aio.InferenceError}
    if how == "cancel":
        assert states == {JobState.CANCELLED}
    if how == "deadline":
        assert maccel_aio.DeadlineError in errors


async def test_what_is_turned_away_is_told(plus_path, notes):
    async with (
        maccel_aio.Accelerator("fault:soft:0?delay_ms=20") as acc,
        acc.load(plus_path, max_inflight=1, max_waiting=0, hooks=notes) as model,
    ):
        job = model.try_submit(X)
        with pytest.raises(maccel_aio.QueueFullError):
            model.try_submit(X)
        with pytest.raises(maccel_aio.QueueFullError):
            await model.infer(X)
        await job
    assert notes.drops == [("queue_full", 1)] * 2


async def test_what_a_stream_drops_is_told(plus_path, notes):
    async with (
        maccel_aio.Accelerator("fault:soft:0?delay_ms=10") as acc,
        acc.load(plus_path, hooks=notes) as model,
        model.stream([X] * 20, depth=1, overflow="latest") as stream,
    ):
        async for _ in stream:
            pass
        assert stream.stats().dropped == len(notes.drops) > 0
    assert set(notes.drops) == {("overflow", 1)}


async def test_a_hook_that_raises_is_contained_and_logged_once(plus_path, caplog):
    class Broken:
        def on_admit(self, _job):
            raise ValueError("admit")

        def on_done(self, _job, token):
            assert token is None
            raise ValueError("done")

        def on_drop(self, _reason, _n):
            raise ValueError("drop")

    async with (
        maccel_aio.Accelerator("soft:0") as acc,
        acc.load(plus_path, max_inflight=1, max_waiting=0, hooks=Broken()) as model,
    ):
        for _ in range(3):
            np.testing.assert_array_equal((await model.infer(X))[0], X + 1)
        job = model.try_submit(X)
        with pytest.raises(maccel_aio.QueueFullError):
            model.try_submit(X)
        await job
    assert len([r for r in caplog.records if "later failures are not logged" in r.message]) == 1


async def test_context_variables_are_those_of_the_caller_at_admission(plus_path):
    variable = contextvars.ContextVar("variable", default=0)

    notes = Notes()
    notes.on_admit = lambda _: variable.get()  # type: ignore[method-assign]
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(plus_path, hooks=notes) as model:

        async def call(number):
            variable.set(number)
            await model.infer(X)

        async with anyio.create_task_group() as tasks:
            for number in (1, 2, 3):
                tasks.start_soon(call, number)
    assert sorted(token for _, token in notes.done) == [1, 2, 3]


async def test_a_model_of_several_segments_is_one_request(tmp_path, notes):
    node = onnx.helper.make_node("Neg", ["a"], ["b"])
    value = [onnx.helper.make_tensor_value_info(n, 1, [1, 8]) for n in "ab"]
    graph = onnx.helper.make_graph([node], "g", value[:1], value[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 10
    path = mxqtools.segmented(tmp_path / "s.mxq", 8, model.SerializeToString())
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(path, hooks=notes) as made:
        await made.infer(X)
    assert len(notes.admitted) == len(notes.done) == 1


async def test_without_hooks_nobody_watches(plus):
    await plus.infer(X)
    assert plus.port_here().watchers == ()
