"""Layouts, batches and strides, against numpy on random shapes."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

import maccel_aio.sync
from maccel_aio._core import _arrays, _shapes
from maccel_aio._core._types import TensorSpec
from tests.core import mxqtools

DIMS = st.integers(1, 6)


def layout_of(specs, shapes):
    found = _shapes.match(specs, shapes)
    assert found is not None
    return found.hwc


def spec(shape, layout="ND", batch_axis=0):
    return TensorSpec("x", "float32", tuple(shape), layout, batch_axis, 1.0, 0, "float32")


IMAGE = spec((1, 3, 4, 5), "NCHW")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4, 5, 3), (True, 1, False)),
        ((3, 4, 5), (False, 1, False)),
        ((1, 4, 5, 3), (True, 1, True)),
        ((7, 3, 4, 5), (False, 7, True)),
        ((0, 4, 5, 3), None),
        ((1, 1, 4, 5, 3), None),
        ((4, 5), None),
        ((5, 4, 3), None),
    ],
)
def test_the_layout_is_found_by_the_vendors_rule(shape, expected):
    assert _shapes.match([IMAGE], [shape]) == expected


def test_hwc_wins_when_both_fit():
    cube = spec((1, 3, 3, 3), "NCHW")
    assert layout_of([cube], [(3, 3, 3)]) is True
    other = spec((1, 2, 3, 3), "NCHW")
    assert layout_of([cube, other], [(3, 3, 3), (2, 3, 3)]) is False


def test_all_inputs_have_one_layout_and_one_batch():
    one, two = spec((1, 8)), spec((1, 3, 4, 5), "NHWC")
    assert _shapes.match([one, two], [(8,), (3, 4, 5)]) == (True, 1, False)
    assert _shapes.match([one, two], [(2, 8), (2, 5, 3, 4)]) == (False, 2, True)
    assert _shapes.match([one, two], [(2, 8), (3, 3, 4, 5)]) is None
    assert _shapes.match([one, two], [(2, 8), (3, 4, 5)]) is None
    assert _shapes.match([one], [(8,), (8,)]) is None


def test_without_a_batch_axis_only_the_whole_shape_fits():
    fixed = spec((2, 3, 4, 5), "NCHW", None)
    assert _shapes.match([fixed], [(2, 4, 5, 3)]) == (True, 1, False)
    assert _shapes.match([fixed], [(2, 3, 4, 5)]) == (False, 1, False)
    assert _shapes.match([fixed], [(4, 5, 3)]) is None


@st.composite
def strided(draw):
    """A view with random order, steps and signs of its dimensions."""
    shape = draw(st.lists(DIMS, min_size=1, max_size=4))
    base = np.arange(int(np.prod([2 * d for d in shape])), dtype=np.float32)
    base = base.reshape([2 * d for d in shape])
    steps = draw(
        st.lists(st.sampled_from([1, 2, -1, -2]), min_size=len(shape), max_size=len(shape))
    )
    view = base[tuple(slice(None, None, s) for s in steps)]
    view = view[tuple(slice(0, d) for d in shape)]
    return view.transpose(draw(st.permutations(range(len(shape)))))


@given(strided(), st.data())
def test_regrouping_strides_is_reshaping(view, data):
    flat = view.size
    new = []
    while flat > 1:
        divisor = data.draw(st.sampled_from([d for d in range(2, flat + 1) if flat % d == 0]))
        new.append(divisor)
        flat //= divisor
    for _ in range(data.draw(st.integers(0, 2))):
        new.insert(data.draw(st.integers(0, len(new))), 1)
    strides = _shapes.regroup(view.shape, view.strides, tuple(new))
    if strides is None:
        copied = np.reshape(view, new)
        assert not np.shares_memory(copied, view)
    else:
        np.testing.assert_array_equal(as_strided(view, new, strides), view.reshape(new))


def test_regrouping_needs_equal_sizes():
    with pytest.raises(ValueError, match="number of elements"):
        _shapes.regroup((4,), (4,), (5,))


@given(DIMS, DIMS, DIMS, st.integers(1, 3), st.booleans(), st.booleans(), st.booleans())
def test_user_order_and_onnx_order_are_inverse(c, h, w, items, batched, hwc, nchw):
    shape = (1, c, h, w) if nchw else (1, h, w, c)
    value = spec(shape, "NCHW" if nchw else "NHWC")
    found = _shapes.Match(hwc, items if batched else 1, batched)
    user = np.arange(found.items * c * h * w).reshape(_shapes.output_shape(value, found))
    onnx = _arrays.to_onnx(value, found, user, batched)
    assert onnx.shape == (found.items, *shape)
    canonical = user.reshape(-1, *((h, w, c) if hwc else (c, h, w)))
    expected = (
        canonical if hwc != nchw else canonical.transpose((0, 3, 1, 2) if nchw else (0, 2, 3, 1))
    )
    np.testing.assert_array_equal(onnx[:, 0], expected)
    np.testing.assert_array_equal(_arrays.from_onnx(value, found, onnx), user)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    DIMS, DIMS, DIMS, st.integers(1, 3), st.booleans(), st.booleans(), st.booleans(), st.booleans()
)
def test_images_come_back_in_the_layout_of_the_input(
    tmp_path, c, h, w, items, batched, hwc, nchw, flipped
):
    path = mxqtools.image(tmp_path / "m.mxq", c, h, w, "NCHW" if nchw else "NHWC")
    item = (h, w, c) if hwc else (c, h, w)
    shape = (items, *item) if batched else item
    x = np.random.default_rng(0).random(shape, np.float32)
    if flipped:
        x = x[..., ::-1]
    is_hwc = layout_of([spec((1, c, h, w), "NCHW")], [x.shape])
    with maccel_aio.sync.Accelerator("soft:0") as acc, acc.load(path) as model:
        y, flat = model.infer(x)
    np.testing.assert_array_equal(y, x + 1)
    images = x if batched else x[None]
    if is_hwc and nchw:
        images = images.transpose(0, 3, 1, 2)
    if not is_hwc and not nchw:
        images = images.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(flat, images if batched else images[0])


def test_a_device_tensor_of_another_rank_is_filled_through_a_copy(tmp_path):
    program = mxqtools.Program()
    source, target = program.tensor(1, 60), program.tensor(1, 60)
    program.add_constant(source, target, 1.0)
    value = lambda name, tensor: mxqtools.Value(name, (1, 3, 4, 5), tensor, layout="NCHW")  # noqa: E731
    path = mxqtools.write(tmp_path / "m.mxq", program, [value("x", source)], [value("y", target)])
    with maccel_aio.sync.Accelerator("soft:0") as acc, acc.load(path) as model:
        for shape in [(3, 4, 5), (4, 5, 3), (2, 4, 5, 3), (2, 3, 4, 5)]:
            x = np.random.default_rng(0).random(shape, np.float32)
            np.testing.assert_array_equal(model.infer(x)[0], x + 1)
        out = np.empty((3, 4, 5), np.float32)
        model.infer(np.zeros((3, 4, 5), np.float32), out=[out])
        assert (out == 1).all()
        with pytest.raises(maccel_aio.ShapeError, match="leave it out"):
            model.infer(np.zeros((4, 5, 3), np.float32), out=[np.empty((4, 5, 3), np.float32)])
