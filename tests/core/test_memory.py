"""Blocks, loans and layouts: memory goes back when nobody can reach it, and not before."""

import gc
import math
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import maccel_aio
from maccel_aio import sync
from maccel_aio._core import _memory

DTYPES = st.sampled_from([np.dtype(name) for name in ("u1", "i1", "f4", "i8", "c16")])
SHAPES = st.lists(st.integers(0, 7), max_size=4).map(tuple)


@given(st.lists(st.tuples(SHAPES, DTYPES), min_size=1, max_size=5))
def test_arrays_of_a_layout_begin_at_pages_and_do_not_overlap(wanted):
    layout = _memory.lay_out(wanted)
    root = np.zeros(layout.nbytes, np.uint8)
    arrays = layout.carve(root)
    for index, (array, (shape, dtype)) in enumerate(zip(arrays, wanted, strict=True)):
        assert (array.shape, array.dtype) == (shape, dtype)
        array.reshape(-1).view(np.uint8)[...] = index + 1
    for index, (array, place) in enumerate(zip(arrays, layout.places, strict=True)):
        assert place[0] % _memory.PAGE == 0
        assert np.all(array.reshape(-1).view(np.uint8) == index + 1)
    assert int((root > 0).sum()) == sum(math.prod(s) * d.itemsize for s, d in wanted)


def test_a_loan_ends_with_the_last_view():
    with sync.Accelerator("soft:0") as acc:
        block = _memory.Block(acc.open_blocking(), 100)
        loan, root = _memory.lend(block)
        over = weakref.ref(loan)
        assert (root.nbytes, root.ctypes.data) == (100, block.address)
        view = root[10:20].view(np.uint16)[::2]
        del loan, root
        gc.collect()
        assert over() is not None
        view[...] = 3
        del view
        gc.collect()
        assert over() is None
        assert acc.stats().buffer_bytes == _memory.PAGE
        del block
        assert acc.stats().buffer_bytes == 0


def test_memory_outlives_its_device():
    with sync.Accelerator("soft:0") as acc:
        block = _memory.Block(acc.open_blocking(), 8)
    root = _memory.lend(block)[1]
    del block
    root[...] = 9
    assert root.tolist() == [9] * 8


def test_what_cannot_be_had():
    with sync.Accelerator("soft:0") as acc:
        device = acc.open_blocking()
        with pytest.raises(maccel_aio.InvalidError):
            _memory.Block(device, 1 << 60)
    with pytest.raises(maccel_aio.ClosedError):
        _memory.Block(device, 8)
