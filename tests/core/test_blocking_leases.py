"""Leases of the blocking face: the same rules, threads in the place of tasks."""

import gc
import threading
import time

import numpy as np
import pytest

import maccel_aio
from maccel_aio import sync
from tests.core import mxqtools
from tests.core.test_segments import doubling

X = np.arange(8, dtype=np.float32)


@pytest.fixture
def model(plus_path):
    with sync.Accelerator("soft:0") as acc, acc.load(plus_path) as model:
        yield model


@pytest.fixture
def slow(plus_path):
    with (
        sync.Accelerator("fault:soft:0?delay_ms=100") as acc,
        acc.load(plus_path, cancel_grace=0.0) as model,
    ):
        yield model


def buffers(model, n=1, **options):
    return model.buffers(n, shape=(8,), **options)


@pytest.mark.parametrize("how", ["infer", "submit"])
def test_in_and_out_without_a_copy(model, how):
    with buffers(model) as pool, pool.lease() as lease:
        for value in range(5):
            lease.inputs[0][...] = X + value
            (y,) = model.infer(lease) if how == "infer" else model.submit(lease).result()
            assert np.shares_memory(y, lease.outputs[0])
            np.testing.assert_array_equal(y, X + value + 1)
            del y
    assert model.stats().completed == 5


@pytest.mark.parametrize("how", ["infer", "submit"])
def test_models_with_cpu_segments(tmp_path, how):
    path = mxqtools.segmented(tmp_path / "segmented.mxq", 8, doubling())
    with sync.load(path) as model, buffers(model).lease() as lease:
        lease.inputs[0][...] = X
        (y,) = model.infer(lease) if how == "infer" else model.submit(lease).result()
        np.testing.assert_array_equal(y, (X + 1) * 2 + 10)
        deadline = time.monotonic() + 5
        while lease.in_flight and time.monotonic() < deadline:
            time.sleep(0.001)
        np.testing.assert_array_equal(lease.outputs[0], y)


def test_inputs_that_the_device_cannot_read_in_place(tmp_path):
    """Whether a layout needs a copy or not, a lease gives what arrays give."""
    path = mxqtools.image(tmp_path / "m.mxq", 3, 6, 7)
    with sync.load(path) as model:
        for shape in ((3, 6, 7), (6, 7, 3), (2, 3, 6, 7)):
            x = np.random.default_rng(0).random(shape, np.float32)
            with model.buffers(1, shape=shape).lease() as lease:
                lease.inputs[0][...] = x
                for one, other in zip(model.infer(lease), model.infer(x), strict=True):
                    np.testing.assert_array_equal(one, other)


def test_in_flight_it_is_refused(slow):
    with buffers(slow).lease() as lease:
        lease.inputs[0][...] = X
        job = slow.submit(lease)
        for use in (
            lambda: lease.inputs, lambda: lease.outputs,
            lambda: slow.infer(lease), lambda: slow.submit(lease),
        ):  # fmt: skip
            with pytest.raises(maccel_aio.BufferInUseError):
                use()
        np.testing.assert_array_equal(job.result()[0], X + 1)
        np.testing.assert_array_equal(lease.outputs[0], X + 1)


def test_a_call_that_timed_out_keeps_its_lease_until_the_device_lets_go(slow):
    pool = buffers(slow)
    with pool.lease() as lease:
        lease.inputs[0][...] = X
        with pytest.raises(maccel_aio.WaitTimeoutError):
            slow.infer(lease, timeout=0.03)
        assert lease.in_flight
    with pytest.raises(maccel_aio.QueueFullError):
        pool.try_lease()
    with pytest.raises(maccel_aio.QueueFullError):
        pool.lease(timeout=0.01)
    with pool.lease():  # nobody but this thread would see its completion
        assert slow.stats().abandoned == 0
    assert (pool.idle, pool.waiting) == (1, 0)


def test_closing_wakes_a_thread_that_waits(model):
    pool = buffers(model)
    held = pool.lease()
    failed = []

    def wait():
        try:
            pool.lease()
        except maccel_aio.ClosedError as problem:
            failed.append(problem)

    thread = threading.Thread(target=wait)
    thread.start()
    while not pool.waiting:
        time.sleep(0.001)
    pool.close()
    thread.join()
    assert len(failed) == 1
    held.release()


def test_after_release_nothing_is_to_be_had(model):
    with buffers(model).lease() as lease:
        pass
    for use in (lambda: lease.inputs, lease.release, lambda: model.infer(lease)):
        with pytest.raises(maccel_aio.ClosedError):
            use()


def test_the_twins_share_leases(plus_path):
    with sync.Accelerator("soft:0") as acc, acc.load(plus_path) as model:
        twin = sync.Model.share(model)
        with buffers(model).lease() as lease:
            lease.inputs[0][...] = X
            np.testing.assert_array_equal(twin.infer(lease)[0], X + 1)
        twin.close()


def test_a_thread_may_drop_its_job(model):
    pool = buffers(model)
    lease = pool.lease()
    lease.inputs[0][...] = X
    model.submit(lease)
    lease.release()
    del lease
    gc.collect()
    with pool.lease(timeout=10):
        assert model.stats().in_flight == 0


def test_several_leases_with_one_call(slow):
    with buffers(slow, 4) as pool:
        leases = [pool.lease() for _ in range(4)]
        for value, lease in enumerate(leases):
            lease.inputs[0][...] = X + value
        assert slow.try_submit_all([]) == []
        with pytest.raises(maccel_aio.BufferInUseError):
            slow.try_submit_all([leases[0], leases[0]])
        jobs = slow.try_submit_all(leases[:3])
        with pytest.raises(maccel_aio.BufferInUseError):
            slow.try_submit_all([leases[3], leases[2]])
        for value, job in enumerate(jobs):
            np.testing.assert_array_equal(job.result(20)[0], X + value + 1)
        assert slow.try_submit_all([leases[3]])[0].result(20)[0][0] == X[0] + 4
        assert slow.stats().submitted == 4
        for lease in leases:
            lease.release()


def test_several_leases_with_one_call_are_all_or_none(plus_path):
    with (
        sync.Accelerator("fault:soft:0?delay_ms=50") as acc,
        acc.load(plus_path, max_inflight=2) as model,
        buffers(model, 3) as pool,
    ):
        leases = [pool.lease() for _ in range(3)]
        with pytest.raises(maccel_aio.QueueFullError):
            model.try_submit_all(leases)
        assert model.stats().submitted == 0
        for job in model.try_submit_all(leases[1:]):
            job.result(20)
        model.close()
        with pytest.raises(maccel_aio.ClosedError):
            model.try_submit_all(leases[:1])
        for lease in leases:
            lease.release()


def test_leases_of_several_segments_go_one_by_one(tmp_path):
    path = mxqtools.segmented(tmp_path / "segmented.mxq", 8, doubling())
    with (
        sync.Accelerator("soft:0") as acc,
        acc.load(path) as model,
        model.buffers(1) as pool,
        pool.lease() as lease,
        pytest.raises(maccel_aio.UnsupportedError, match="one by one"),
    ):
        model.try_submit_all([lease])
