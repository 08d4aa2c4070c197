"""The forms of the classic inference call: layouts, batches, output lists, element types."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maccel_aio.compat import maccel, qbruntime
from maccel_aio.compat._shared.status import StatusCode
from tests.core import mxqtools

pytestmark = pytest.mark.usefixtures("no_leaks")
F32 = np.float32


def chw(image: Any) -> Any:
    return np.ascontiguousarray(np.moveaxis(image, -1, -3))


def test_the_outputs_follow_the_layout_of_the_inputs(image: Any, pixels: Any) -> None:
    plus, flat = image.infer(pixels)
    assert np.array_equal(plus, pixels + 1)
    assert np.array_equal(flat, np.moveaxis(pixels, -1, 0))
    plus, moved = image.infer(chw(pixels))
    assert np.array_equal(plus, chw(pixels) + 1)
    assert np.array_equal(moved, np.moveaxis(flat, -1, 0))
    assert plus.flags.c_contiguous
    assert moved.flags.c_contiguous


@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_in_is_a_batch_out(image: Any, pixels: Any, count: int) -> None:
    batch = np.stack([pixels + k for k in range(count)])
    for given_ in (batch, chw(batch)):
        plus, flat = image.infer([given_])
        assert np.array_equal(plus, given_ + 1)
        alone = [image.infer(one)[1] for one in given_]
        assert np.array_equal(flat, np.stack(alone))


def test_a_batch_of_nothing_is_refused(image: Any, error: Any, pixels: Any) -> None:
    with pytest.raises(error) as caught:
        image.infer(pixels[np.newaxis][:0])
    assert caught.value.code is StatusCode.Model_ShapeMismatched
    assert "at least 1" in caught.value.reason


def test_strides_and_types_do_not_matter(image: Any, pixels: Any) -> None:
    wide = np.zeros((8, 10, 3), F32)
    wide[::2, ::2] = pixels
    unaligned = np.frombuffer(b"\0" + pixels.tobytes(), np.uint8)[1:].view(F32).reshape(4, 5, 3)
    for same in (
        wide[::2, ::2], chw(pixels).transpose(1, 2, 0), pixels.astype(np.float64), unaligned,
        pixels.astype(np.int32), pixels.astype(">f4"), pixels.astype(np.uint8), pixels[:, ::-1],
    ):  # fmt: skip
        for _ in range(2):
            assert np.array_equal(image.infer(same)[0], same + F32(1))


def test_all_six_forms_give_the_same(image: Any, pixels: Any) -> None:
    expected = image.infer(pixels)
    forms: list[list[Any]] = [[], [np.zeros_like(one) for one in expected]]
    for outputs in forms:
        for inputs in (pixels, [pixels]):
            kept = list(outputs)
            assert image.infer(inputs, outputs) is None
            for one, wanted in zip(outputs, expected, strict=True):
                assert np.array_equal(one, wanted)
                one[...] = 0
            assert all(a is b for a, b in zip(kept, outputs, strict=False))
    for one, wanted in zip(image.infer([pixels]), expected, strict=True):
        assert np.array_equal(one, wanted)


def test_outputs_may_have_strides_and_a_batch(image: Any, pixels: Any) -> None:
    batch = np.stack([pixels, pixels * 2])
    plus, flat = image.infer(batch)
    wide = np.full((2, 4, 5, 6), -1, F32)
    outputs = [wide[..., ::2], np.zeros_like(flat)]
    first = outputs[0]
    for _ in range(2):
        image.infer(batch, outputs)
        assert outputs[0] is first
        assert np.array_equal(wide[..., ::2], plus)
        assert (wide[..., 1::2] == -1).all()
        assert np.array_equal(outputs[1], flat)
        wide[...] = -1


def test_outputs_that_do_not_fit_are_refused(image: Any, pixels: Any) -> None:
    right = [np.zeros_like(one) for one in image.infer(pixels)]
    wrong = [
        (right[:1], "number of outputs"),
        ([right[0].astype(np.float64), right[1]], "dtype"),
        ([right[1], right[0]], "shape"),
        ([right[0][np.newaxis], right[1]], "shape"),
    ]
    for outputs, text in wrong:
        with pytest.raises(ValueError, match=text):
            image.infer(pixels, outputs)
    right[0].flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        image.infer(pixels, right)
    with pytest.raises(TypeError, match="list"):
        image.infer(pixels, ())


def test_arrays_that_do_not_fit_are_refused(image: Any, pixels: Any) -> None:
    for inputs in ([], [pixels, pixels], pixels[0], pixels[np.newaxis, np.newaxis], pixels[:3]):
        with pytest.raises(ValueError, match=r"^Input shape is invalid\.$"):
            image.infer(inputs)
    for inputs in ((pixels,), [pixels.tolist()]):
        with pytest.raises(AttributeError, match="shape"):
            image.infer(inputs)
    with pytest.raises(RuntimeError):
        image.infer(pixels.astype(np.complex64))


def test_what_has_a_shape_and_becomes_an_array_is_taken(image: Any, pixels: Any) -> None:
    class Tensor:
        shape = pixels.shape

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return pixels

    assert np.array_equal(image.infer(Tensor())[0], pixels + 1)


def test_only_the_successor_is_strict_about_layouts(
    image: Any, pixels: Any, package: ModuleType
) -> None:
    if package is maccel:
        assert package.Model.infer_chw is package.Model.infer
        assert np.array_equal(image.infer_chw(pixels)[0], pixels + 1)
        return
    assert np.array_equal(image.infer_hwc(pixels)[0], pixels + 1)
    assert np.array_equal(image.infer_chw(chw(pixels))[0], chw(pixels) + 1)
    for call, wrong in ((image.infer_hwc, chw(pixels)), (image.infer_chw, pixels)):
        with pytest.raises(ValueError, match="Input shape"):
            call(wrong)


def test_an_ambiguous_image_is_hwc_unless_told(tmp_path: Path) -> None:
    model = qbruntime.load(str(mxqtools.image(tmp_path / "square.mxq", 3, 3, 3)))
    x = np.arange(27, dtype=F32).reshape(3, 3, 3)
    as_hwc, as_chw = model.infer(x), model.infer_chw(x)
    assert as_hwc is not None
    assert as_chw is not None
    assert np.array_equal(as_hwc[1], np.moveaxis(x, -1, 0))
    assert np.array_equal(as_chw[1], np.moveaxis(x, -1, 0))
    again = model.infer_hwc(x)
    assert again is not None
    assert np.array_equal(again[1], as_hwc[1])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dims=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    items=st.integers(0, 3),
    hwc=st.booleans(),
)
def test_any_tensor_has_three_dimensions(
    tmp_path: Path, package: ModuleType, dims: list[int], items: int, hwc: bool
) -> None:
    path = str(mxqtools.plus(tmp_path / "plus.mxq", *dims))
    model = package.load(path)
    (shape,) = model.get_model_input_shape()
    assert len(shape) == 3
    assert np.prod(shape) == np.prod(dims)
    own = shape if hwc else (shape[2], *shape[:2])
    full = (items, *own) if items else own
    x = np.random.default_rng(0).normal(size=full).astype(F32)
    form = "infer" if package is maccel else "infer_hwc" if hwc else "infer_chw"
    infer = getattr(model, form)
    (y,) = infer(x)
    assert np.array_equal(y, x + F32(1))
    outputs = [np.zeros_like(y)]
    infer(x, outputs)
    assert np.array_equal(outputs[0], y)
    model.dispose()


def test_several_inputs_and_one_for_all_items(tmp_path: Path, package: ModuleType) -> None:
    model = package.load(str(mxqtools.two_by_two(tmp_path / "two.mxq", 4)))
    a = np.arange(12, dtype=F32).reshape(3, 1, 1, 4)
    b = np.arange(4, dtype=F32).reshape(1, 1, 4)
    total, difference = model.infer([a, b])
    assert np.array_equal(total, a + b)
    assert np.array_equal(difference, a - b)
    with pytest.raises(RuntimeError, match="Model_ShapeMismatched"):
        model.infer([a, a[:2]])


def test_a_cache_that_is_not_there_is_refused(image: Any, pixels: Any, error: Any) -> None:
    assert image.infer(pixels, None, 0) is not None
    with pytest.raises(error) as caught:
        image.infer(pixels, None, 3)
    assert caught.value.code is StatusCode.Model_NoCache


def test_segments_on_the_cpu_run_too(segmented_path: str, package: ModuleType) -> None:
    model = package.load(segmented_path)
    x = np.arange(8, dtype=F32).reshape(1, 1, 8)
    expected = (x + 1) * 2 + 10
    assert np.array_equal(model.infer(x)[0], expected)
    assert np.array_equal(model.infer_async(x).get()[0], expected)
    assert np.array_equal(model.infer(x.reshape(8, 1, 1))[0], expected.reshape(8, 1, 1))
    outputs: list[Any] = []
    model.infer(np.stack([x, x * 2]), outputs)
    assert np.array_equal(outputs[0], np.stack([expected, (x * 2 + 1) * 2 + 10]))
    model.infer(np.stack([x, x]), kept := list(outputs))
    assert kept[0] is outputs[0]
    assert np.array_equal(kept[0], np.stack([expected, expected]))
    with pytest.raises(RuntimeError, match="Model_DtypeMismatched"):
        model.infer(x.astype(np.int8))


@pytest.mark.parametrize("index", [0, 1])
def test_one_bundle_runs_alone(segmented_path: str, package: ModuleType, index: int) -> None:
    config = package.ModelConfig()
    config.force_single_npu_bundle(index)
    model = package.load(segmented_path, config)
    x = np.arange(8, dtype=F32).reshape(1, 1, 8)
    assert np.array_equal(model.infer(x)[0], x + F32([1, 10][index]))
