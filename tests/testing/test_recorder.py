"""The recorder remembers what a program asked of a model."""

import numpy as np
import pytest

import maccel_aio
from maccel_aio import testing

X = np.zeros(8, np.float32)


async def test_what_was_asked_is_remembered(tmp_path):
    recorder = testing.Recorder()
    path = testing.tiny_model(tmp_path / "tiny.mxq")
    async with (
        testing.faulty_accelerator(fail_every=3) as acc,
        acc.load(path, hooks=recorder, max_inflight=1) as model,
    ):
        for _ in range(3):
            try:
                await model.infer(X)
            except maccel_aio.InferenceError:
                assert recorder.done[-1].error is not None
        job = model.try_submit(np.stack([X, X]))
        assert recorder.in_flight == 1
        with pytest.raises(maccel_aio.QueueFullError):
            model.try_submit(X)
        await job
    assert recorder.outcomes() == {"done": 3, "InferenceError": 1}
    assert [job.items for job in recorder.admitted] == [1, 1, 1, 2]
    assert recorder.dropped == {"queue_full": 1}
    assert "InferenceError" in repr(recorder)
    recorder.clear()
    assert recorder.outcomes() == {}
