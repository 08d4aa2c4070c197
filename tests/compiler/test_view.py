"""Views are numpy's strided arrays: every operation is compared with numpy."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from maccel_aio.compiler.view import Buffer, View, packed_strides

DIMS = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def _array(view: View, memory: np.ndarray) -> np.ndarray:
    start = memory[view.offset // 4 :]
    return np.lib.stride_tricks.as_strided(start, view.dims, view.strides, writeable=False)


def _made(dims, order) -> tuple[View, np.ndarray]:
    size = math.prod(dims)
    strides = packed_strides(dims, order, 4)
    return View(Buffer(size * 4), tuple(dims), tuple(strides), "f32"), np.arange(
        size, dtype=np.float32
    )


@st.composite
def views(draw):
    dims = draw(DIMS)
    return _made(dims, draw(st.permutations(range(len(dims)))))


@given(views(), st.data())
def test_permute_slice_and_expand_are_numpys(made, data):
    view, memory = made
    perm = data.draw(st.permutations(range(len(view.dims))))
    starts = [data.draw(st.integers(0, n - 1)) for n in view.dims]
    steps = [data.draw(st.integers(1, 2)) for _ in view.dims]
    sizes = [len(range(s, n, t)) for s, n, t in zip(starts, view.dims, steps, strict=True)]
    cut = tuple(slice(s, None, t) for s, t in zip(starts, steps, strict=True))
    want = _array(view, memory)
    np.testing.assert_array_equal(_array(view.permute(perm), memory), want.transpose(perm))
    np.testing.assert_array_equal(_array(view.slice(starts, sizes, steps), memory), want[cut])
    first = view.slice([0] * len(sizes), [1, *view.dims[1:]], [1] * len(sizes))
    wide = (3, 2, *view.dims[1:])
    np.testing.assert_array_equal(
        _array(first.expand(wide), memory), np.broadcast_to(want[:1], wide)
    )


@given(views(), st.data())
def test_reshape_is_numpys_or_needs_a_copy(made, data):
    view, memory = made
    joined = [1]
    for n in view.dims:
        if data.draw(st.booleans()):
            joined[-1] *= n
        else:
            joined.append(n)
    if data.draw(st.booleans()):
        joined.insert(data.draw(st.integers(0, len(joined))), 1)
    found = view.reshape(joined)
    want = _array(view, memory).reshape(joined)
    if found is None:
        assert view.order() != tuple(range(len(view.dims)))
    else:
        np.testing.assert_array_equal(_array(found, memory), want)


@given(views(), st.data())
def test_dimensions_can_always_be_split(made, data):
    view, memory = made
    parts = [p for n in view.dims for p in ((2, n // 2) if n % 2 == 0 else (n, 1))]
    found = view.reshape(parts)
    assert found is not None
    np.testing.assert_array_equal(_array(found, memory), _array(view, memory).reshape(parts))


def test_order_lists_dimensions_from_the_outermost():
    view, _ = _made((2, 3, 4), (1, 2, 0))
    assert view.order() == (1, 2, 0)


def test_a_pitch_separates_neighbouring_pixels():
    assert packed_strides((1, 5, 4, 3), (0, 2, 3, 1), 1, pitch=16) == [192, 1, 48, 16]
