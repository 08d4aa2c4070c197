"""Buffers of a device: arrays like others, and refused while the device may write them."""

import gc
import mmap
import os
import pickle

import anyio
import numpy as np
import pytest

import maccel_aio
from maccel_aio import sync
from maccel_aio._core import _guard
from tests.core.test_jobs import until

X = np.arange(8, dtype=np.float32)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64", "bool"])
def test_it_is_an_array(dtype):
    with sync.Accelerator("soft:0") as acc, acc.allocate((3, 4), dtype) as buffer:
        buffer.array[...] = 1
        assert buffer.array.ctypes.data % 4096 == 0
        assert (buffer.shape, buffer.dtype) == ((3, 4), np.dtype(dtype))
        assert buffer.nbytes == buffer.array.nbytes
        assert np.shares_memory(np.asarray(buffer), buffer.array)
        assert not np.shares_memory(np.array(buffer, copy=True), buffer.array)
        assert np.asarray(buffer, np.float64).dtype == np.float64
        assert np.asarray(buffer).sum() == 12
        assert str(dtype) in repr(buffer)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64"])
def test_others_share_it_through_dlpack(dtype):
    with sync.Accelerator("soft:0") as acc:
        buffer = acc.allocate(5, dtype)
        shared = np.from_dlpack(buffer)
        buffer.array[...] = 7
        assert shared.tolist() == [7] * 5
        assert buffer.__dlpack_device__() == (1, 0)
        buffer.release()
        del buffer
        gc.collect()
        assert shared.tolist() == [7] * 5  # still its memory
        assert acc.stats().buffer_bytes == 4096
        del shared
        assert acc.stats().buffer_bytes == 0


def test_after_release_nothing_is_to_be_had():
    with sync.Accelerator("soft:0") as acc:
        with acc.allocate(4) as buffer:
            kept = buffer.array
        for use in (
            lambda: buffer.array, lambda: np.asarray(buffer), lambda: np.from_dlpack(buffer),
            buffer.release, buffer.fileno, buffer.__dlpack_device__,
        ):  # fmt: skip
            with pytest.raises(maccel_aio.ClosedError):
                use()
        assert "released" in repr(buffer)
        kept[...] = 1  # arrays stay valid


def test_another_process_maps_a_shared_one():
    with sync.Accelerator("soft:0") as acc:
        buffer = acc.allocate(8, np.uint8, shared=True)
        with mmap.mmap(os.dup(buffer.fileno()), 8) as elsewhere:
            elsewhere[:] = b"abcdefgh"
        assert buffer.array.tobytes() == b"abcdefgh"
        with pytest.raises(maccel_aio.UnsupportedError):
            acc.allocate(8).fileno()


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((2, -1), "f4"), ("abc", "f4"), (1.5, "f4"), (3, "O"), (3, "nonsense"), (3, "V0")],
)
def test_what_cannot_be(shape, dtype):
    with sync.Accelerator("soft:0") as acc, pytest.raises(maccel_aio.InvalidError):
        acc.allocate(shape, dtype)


def test_it_needs_an_open_accelerator():
    acc = sync.Accelerator("soft:0")
    with pytest.raises(maccel_aio.ClosedError):
        acc.allocate(8)


async def test_in_and_out_without_a_copy(plus_path):
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(plus_path) as model:
        x, y = acc.allocate(8), acc.allocate(8)
        x.array[...] = X
        (made,) = await model.infer(x, out=[y])
        assert np.shares_memory(made, y.array)
        np.testing.assert_array_equal(y.array, X + 1)
        (made,) = await model.infer([x])
        np.testing.assert_array_equal(made, X + 1)


async def test_reading_what_the_device_may_write_is_refused(plus_path):
    async with maccel_aio.Accelerator("fault:soft:0?delay_ms=100") as acc:
        model = await acc.load(plus_path, cancel_grace=0.0)
        y = acc.allocate(8)
        job = model.try_submit(X, out=[y])
        for use in (lambda b: b.array, np.asarray, np.from_dlpack):
            with pytest.raises(maccel_aio.BufferInUseError):
                use(y)
        with pytest.raises(maccel_aio.BufferInUseError):
            model.try_submit(X, out=[y])
        await anyio.sleep(0.01)
        job.cancel()
        with pytest.raises(maccel_aio.BufferInUseError):
            _ = y.array  # quarantined: the device has not let go of it
        y.release()  # may be: the memory stays where it is until the completion
        del y
        assert acc.stats().buffer_bytes == 4096
        await until(lambda: not _guard.claims())
        del job
        gc.collect()
        assert acc.stats().buffer_bytes == 0


def test_it_stays_where_it_is():
    with sync.Accelerator("soft:0") as acc, pytest.raises(TypeError):
        pickle.dumps(acc.allocate(8))
