"""From the caller's arrays to the device and back, against numpy: layouts, strides, dtypes."""

import dataclasses
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import maccel_aio
import maccel_aio.sync
from maccel_aio._core import _arrays, _shapes
from maccel_aio._core._types import TensorSpec
from maccel_aio.errors import InvalidError, ModelFormatError
from tests.core import mxqtools

QUICK = settings(
    max_examples=40, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
C, H, W = 3, 4, 5


@pytest.fixture(scope="module")
def device():
    with maccel_aio.sync.Accelerator("soft:0") as acc:
        yield acc


@pytest.fixture(autouse=True)
def checks():
    """Here one device serves the whole module, so nothing is checked for leaks test by test."""


@pytest.fixture(scope="module")
def models(device, tmp_path_factory):
    """Image models in both layouts, with and without a batch, and two quantised ones."""
    folder = tmp_path_factory.mktemp("arrays")
    made: dict[Any, Any] = {
        (layout, batch): device.load(
            mxqtools.image(folder / f"{layout}{batch}.mxq", C, H, W, layout, batch)
        )
        for layout in ("NCHW", "NHWC")
        for batch in (0, None)
    }
    made["u8"] = device.load(
        mxqtools.identity(folder / "u8.mxq", 6, dtype=mxqtools.U8, scale=0.5, zero=10)
    )
    made["s8"] = device.load(
        mxqtools.identity(folder / "s8.mxq", 6, dtype=mxqtools.S8, scale=0.25, zero=-3)
    )
    made["vector"] = device.load(mxqtools.plus(folder / "vector.mxq", 6))
    made["pair"] = device.load(mxqtools.two_by_two(folder / "pair.mxq", 6))
    return made


@dataclasses.dataclass
class Form:
    """One way to hold the same numbers in memory."""

    step: int
    flip: tuple[bool, ...]
    order: Literal["C", "F"]
    read_only: bool
    offset: int
    broadcast: bool

    def hold(self, values):
        """Return an array that equals ``values`` but lies in memory in this way."""
        if self.broadcast and values.ndim and values.shape[0] > 1:
            values = np.broadcast_to(values[:1], values.shape)
        else:
            shape = tuple(self.step * dim for dim in values.shape)
            room = np.zeros(int(np.prod(shape)) + self.offset, values.dtype)[self.offset :]
            base = room.reshape(shape, order=self.order)
            view = base[tuple(
                slice(None, None, -self.step if flip else self.step)
                for flip in (*self.flip, False, False, False, False)[: values.ndim]
            )]  # fmt: skip
            view = view[tuple(slice(0, dim) for dim in values.shape)]
            view[...] = values
            values = view
        values.flags.writeable = not self.read_only and values.flags.writeable
        return values


forms = st.builds(
    Form, step=st.integers(1, 3), flip=st.tuples(*[st.booleans()] * 4),
    order=st.sampled_from(["C", "F"]), read_only=st.booleans(), offset=st.integers(0, 3),
    broadcast=st.sampled_from([False, False, False, True]),
)  # fmt: skip


def user_shape(hwc, items):
    image = (H, W, C) if hwc else (C, H, W)
    return image if items is None else (items, *image)


def in_onnx_order(x, hwc, nchw):
    """The model's view of images (items, ...) in the caller's layout."""
    if hwc == (not nchw):
        return x
    return x.transpose((0, 3, 1, 2) if nchw else (0, 2, 3, 1))


@QUICK
@given(
    form=forms, layout=st.sampled_from(["NCHW", "NHWC"]), hwc=st.booleans(),
    items=st.one_of(st.none(), st.integers(1, 3)), seed=st.integers(0, 99),
)  # fmt: skip
def test_images_in_any_memory_order_give_what_numpy_gives(models, form, layout, hwc, items, seed):
    values = np.random.default_rng(seed).random(user_shape(hwc, items), np.float32)
    x = form.hold(values)
    before = x.copy()
    y, flat = models[layout, 0].infer(x)
    np.testing.assert_array_equal(y, before + 1)
    images = before if items is not None else before[None]
    expected = in_onnx_order(images, hwc, layout == "NCHW")
    np.testing.assert_array_equal(flat, expected if items is not None else expected[0])
    np.testing.assert_array_equal(x, before)
    for array in (y, flat):
        assert array.dtype == np.float32
        assert array.flags.writeable
        assert not np.shares_memory(array, x)


@QUICK
@given(form=forms, target=forms, hwc=st.booleans(), items=st.integers(1, 3))
def test_out_in_any_memory_order_receives_the_same(models, form, target, hwc, items):
    target = dataclasses.replace(target, read_only=False, broadcast=False)
    x = form.hold(np.random.default_rng(items).random(user_shape(hwc, items), np.float32))
    plain = models["NCHW", 0].infer(x)
    outs = [target.hold(np.full(array.shape, -1, np.float32)) for array in plain]
    given_back = models["NCHW", 0].infer(x, out=outs)
    for out, back, array in zip(outs, given_back, plain, strict=True):
        assert back is out
        np.testing.assert_array_equal(out, array)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("hwc", [True, False])
def test_without_a_batch_axis_the_whole_shape_is_the_item(models, layout, hwc):
    model = models[layout, None]
    x = np.random.default_rng(0).random((1, *user_shape(hwc, None)), np.float32)
    y, flat = model.infer(x)
    np.testing.assert_array_equal(y, x + 1)
    np.testing.assert_array_equal(flat, in_onnx_order(x, hwc, layout == "NCHW"))
    for wrong in (x[0], np.concatenate([x, x])):
        with pytest.raises(maccel_aio.ShapeError, match=r"expected x: \(1, 4, 5, 3\)"):
            model.infer(wrong)


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((0, H, W, C), r"got float32 \(0, 4, 5, 3\)"), ((H, W), r"got float32 \(4, 5\)"),
        ((1, 1, H, W, C), r"\(1, 1, 4, 5, 3\)"), ((H, W, C + 1), r"\(4, 5, 4\)"),
        ((W, H, C), r"\(5, 4, 3\)"), ((), r"got float32 \(\)"), ((60,), r"\(60\)|\(60,\)"),
        ((0,), r"\(0,\)"),
    ],
    ids=str,
)  # fmt: skip
def test_shapes_that_do_not_fit_name_both_layouts_and_what_came(models, shape, match):
    with pytest.raises(maccel_aio.ShapeError, match=match) as caught:
        models["NCHW", 0].infer(np.zeros(shape, np.float32))
    assert "(4, 5, 3)" in str(caught.value)
    assert "(3, 4, 5)" in str(caught.value)
    assert "batch" in str(caught.value)


@pytest.mark.parametrize(
    "dtype", ["float16", "float64", "longdouble", "int16", "int32", "int64", "uint16", "uint32",
              "uint64", "bool", ">f4", ">i2", "<f8"],
)  # fmt: skip
@QUICK
@given(form=forms)
def test_every_number_type_means_its_value(models, dtype, form):
    values = np.array([0, 1, 1, 0, 1, 100 if dtype != "bool" else 1]).astype(dtype)
    x = form.hold(values)
    np.testing.assert_array_equal(models["vector"].infer(x)[0], x.astype(np.float32) + 1)


@pytest.mark.parametrize("dtype", ["complex64", "object", "U3", "S3", "datetime64[s]", "m8[s]"])
def test_what_is_no_real_number_is_refused(models, dtype):
    with pytest.raises(InvalidError, match=r"dtype .* cannot be an input"):
        models["vector"].infer(np.zeros(6, dtype))


def test_structured_and_void_arrays_are_refused(models):
    with pytest.raises(InvalidError):
        models["vector"].infer(np.zeros(6, [("a", "f4")]))


@pytest.mark.parametrize("kind", ["list", "tuple", "nested list", "subclass", "memoryview"])
def test_what_numpy_understands_is_an_input(models, kind):
    values = np.arange(6, dtype=np.float32)
    x = {
        "list": [values],
        "tuple": (values,),
        "nested list": [values.tolist()],
        "subclass": values.view(type("Mine", (np.ndarray,), {})),
        "memoryview": memoryview(values.tobytes()).cast("f"),
    }[kind]  # fmt: skip
    np.testing.assert_array_equal(models["vector"].infer(x)[0], values + 1)


@pytest.mark.parametrize(
    ("name", "scale", "zero", "low"), [("u8", 0.5, 10, 0), ("s8", 0.25, -3, -128)]
)
def test_real_numbers_are_quantised_with_saturation_and_half_to_even(
    models, name, scale, zero, low
):
    x = np.array([-1e9, -1.3, 0.1, 0.5 * scale, 1.5 * scale, 1e9], np.float32)
    q = np.clip(np.rint(x / scale) + zero, low, low + 255)
    np.testing.assert_allclose(models[name].infer(x)[0], (q - zero) * scale, rtol=1e-6)


def test_infinities_saturate_and_nan_becomes_a_number(models):
    x = np.array([np.inf, -np.inf, np.nan, 0, 0, 0], np.float32)
    y = models["u8"].infer(x)[0]
    assert y[0] == (255 - 10) * 0.5
    assert y[1] == -10 * 0.5
    assert np.isfinite(y).all()
    np.testing.assert_array_equal(models["vector"].infer(x)[0], x + 1)


@QUICK
@given(form=forms, items=st.integers(1, 4), seed=st.integers(0, 99))
def test_int8_goes_through_unchanged_in_any_memory_order(models, form, items, seed):
    values = np.random.default_rng(seed).integers(-128, 128, (items, 6), np.int8)
    x = form.hold(values)
    for name in ("u8", "s8"):
        (y,) = models[name].infer(x)
        assert y.dtype == np.int8
        np.testing.assert_array_equal(y, x)
        out = np.zeros((items, 6), np.int8)
        assert models[name].infer(x, out=[out])[0] is out
        with pytest.raises(maccel_aio.ShapeError, match=r"must be int8 .* got float32"):
            models[name].infer(x, out=[out.astype(np.float32)])


def test_uint8_means_the_number_itself(models):
    x = np.array([0, 1, 2, 100, 122, 255], np.uint8)
    (y,) = models["u8"].infer(x)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, np.clip(x.astype(np.float32) * 2 + 10, 0, 255) / 2 - 5)


@QUICK
@given(one=forms, two=forms, items=st.one_of(st.none(), st.integers(1, 3)), swap=st.booleans())
def test_inputs_of_different_memory_orders_meet_item_by_item(models, one, two, items, swap):
    shape = (6,) if items is None else (items, 6)
    a = one.hold(np.random.default_rng(1).random(shape, np.float32))
    b = two.hold(np.random.default_rng(2).random(shape, np.float32))
    if swap:
        a = a.astype(np.float64)
    total, difference = models["pair"].infer([a, b])
    np.testing.assert_array_equal(total, a.astype(np.float32) + b)
    np.testing.assert_array_equal(difference, a.astype(np.float32) - b)
    same, zero = models["pair"].infer([b, b])
    np.testing.assert_array_equal(same, b + b)
    assert not zero.any()


@pytest.mark.parametrize(
    "x", [[np.zeros(6)], [np.zeros(6)] * 3, np.zeros(6), [np.zeros((2, 6)), np.zeros((3, 6))],
          [np.zeros((1, 6)), np.zeros(6)], []],
    ids=["one", "three", "bare", "batches differ", "batch and none", "nothing"],
)  # fmt: skip
def test_inputs_that_do_not_fit_each_other_are_refused(models, x):
    with pytest.raises(maccel_aio.ShapeError, match=r"expected a: .*; b: .*got"):
        models["pair"].infer(x)


def test_an_output_may_be_the_input_when_the_memory_is_the_same(models):
    x = np.arange(6, dtype=np.float32)
    models["vector"].infer(x, out=[x])
    np.testing.assert_array_equal(x, np.arange(1, 7))


def test_outputs_may_not_overlap_each_other(models):
    room = np.zeros(9, np.float32)
    x = np.ones(6, np.float32)
    with pytest.raises(maccel_aio.BufferInUseError):
        models["pair"].infer([x, x], out=[room[:6], room[3:]])
    models["pair"].infer(
        [x, x], out=[np.zeros(12, np.float32)[::2], np.zeros(12, np.float32)[1::2]]
    )


def test_plans_are_kept_by_form_and_not_for_ever(models):
    planner = models["vector"]._resident.loaded[0].direct
    x = np.zeros((3, 6), np.float32)
    assert planner.plan([x], None) is planner.plan([x + 1], None)
    assert planner.plan([x], None) is not planner.plan([x[:, ::-1]], None)
    assert planner.plan([x], None) is not planner.plan([x], [x.copy()])
    assert planner.plan([np.zeros(5, np.float32)], None) is None
    for items in range(1, 2 * _arrays._PLANS_KEPT):
        planner.plan([np.zeros((items, 6), np.float32)], None)
    assert 0 < len(planner._plans) <= _arrays._PLANS_KEPT


def test_a_tensor_of_another_size_cannot_be_planned():
    spec = TensorSpec("x", "float32", (1, 6), "ND", 0, 1.0, 0, "float32")
    with pytest.raises(ModelFormatError, match=r"\[1, 7\] cannot hold 'x' of shape \[1, 6\]"):
        _arrays.Planner([_arrays.Wire(spec, (0, 1), (1, 7), "float32")], [])


def test_casts_happen_only_where_they_must():
    aligned = np.zeros(8, np.float32)
    odd = np.zeros(33, np.uint8)[1:].view(np.float32)
    for array, needed in [
        (aligned, False), (aligned[::-1], False), (odd, True), (aligned.astype(">f4"), True),
        (np.zeros(3, np.uint8), False), (np.zeros(3, np.int8), False), (np.zeros(3), True),
        (np.zeros(3, bool), True),
    ]:  # fmt: skip
        assert _arrays.needs_cast(array) is needed
        made = _arrays.cast(array)
        assert not _arrays.needs_cast(made)
        assert made.flags.c_contiguous
        np.testing.assert_array_equal(made, array)


def test_values_that_all_items_share_follow_the_others():
    one, many = np.ones((1, 4)), np.ones((3, 4))
    first, second = _arrays.align([one, many], 3)
    assert first.shape == second.shape == (3, 4)
    assert np.shares_memory(first, one)
    assert second is many
    assert _shapes.output_leads(
        TensorSpec("y", "float32", (4,), "ND", None, 1.0, 0, "float32"),
        _shapes.Match(None, 3, True),
    )
