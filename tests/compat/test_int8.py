"""int8 arrays: what their elements stand for in either package, and the models that take none."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maccel_aio.compat import maccel
from tests.core import mxqtools

pytestmark = pytest.mark.usefixtures("no_leaks")
N = 64
ALL = np.arange(-128, 128, dtype=np.int8).reshape(4, 1, 1, N)
HOLDINGS = [(mxqtools.U8, 0), (mxqtools.U8, 128), (mxqtools.U8, 37), (mxqtools.S8, 0),
            (mxqtools.S8, -5)]  # fmt: skip


def held(path: Path, dtype: int, zero: int, scale: float = 0.25) -> str:
    """x -> x for a tensor that the NPU holds in bytes."""
    return str(mxqtools.identity(path, N, dtype=dtype, scale=scale, zero=zero))


def real(codes: Any, scale: Any) -> Any:
    """Return what elements stand for by the scale that a client reads."""
    zero = getattr(scale, "zero_point", 0)
    return (codes.astype(np.float32) - np.float32(zero)) * np.float32(scale[0])


@pytest.mark.parametrize(("dtype", "zero"), HOLDINGS)
def test_an_element_stands_for_what_its_scale_says(
    tmp_path: Path, package: ModuleType, dtype: int, zero: int
) -> None:
    model = package.load(held(tmp_path / "held.mxq", dtype, zero))
    (scale,), (out_scale,) = model.get_input_scale(), model.get_output_scale()
    expected = model.infer(real(ALL, scale))[0]
    assert np.array_equal(model.infer_to_float(ALL)[0], expected)
    assert np.array_equal(model.infer_async_to_float(ALL).get()[0], expected)
    (codes,) = model.infer(ALL)
    assert codes.dtype == np.int8
    assert np.abs(real(codes, out_scale) - expected).max() <= out_scale[0] / 2
    assert np.array_equal(model.infer_async(ALL).get()[0], codes)
    assert np.array_equal(model.infer_chw(np.moveaxis(ALL, -1, 1))[0], np.moveaxis(codes, -1, 1))
    if zero == (0 if dtype == mxqtools.S8 else 128):
        assert np.array_equal(codes, ALL)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(zero=st.integers(0, 255), scale=st.floats(2**-10, 8, width=32))
def test_a_symmetric_scale_reaches_all_values(tmp_path: Path, zero: int, scale: float) -> None:
    model = maccel.Model(held(tmp_path / "held.mxq", mxqtools.U8, zero, scale))
    step = model.get_input_scale()[0][0]
    low, high = -zero * scale, (255 - zero) * scale
    assert -128.5 * step <= low * (1 - 1e-6)
    assert high * (1 - 1e-6) <= 127.5 * step
    assert step <= scale * 2.02


def test_a_zero_point_is_told_where_scales_have_one(tmp_path: Path) -> None:
    from maccel_aio.compat import qbruntime

    model = qbruntime.Model(held(tmp_path / "held.mxq", mxqtools.U8, 37))
    (scale,) = model.get_input_scale()
    assert (scale.zero_point, scale.is_asymmetric, scale[0]) == (37 - 128, True, 0.25)
    model = qbruntime.Model(held(tmp_path / "held.mxq", mxqtools.U8, 128))
    assert model.get_output_scale()[0].is_asymmetric is False


@pytest.mark.parametrize("zero", [37, 128])
def test_lists_for_the_outputs_are_filled(tmp_path: Path, package: ModuleType, zero: int) -> None:
    model = package.load(held(tmp_path / "held.mxq", mxqtools.U8, zero))
    expected = model.infer(ALL)
    outputs: list[Any] = []
    assert model.infer(ALL, outputs) is None
    assert np.array_equal(outputs[0], expected[0])
    first = outputs[0]
    first[...] = 0
    model.infer(ALL, outputs)
    assert outputs[0] is first
    assert np.array_equal(first, expected[0])
    with pytest.raises(ValueError, match="dtype"):
        model.infer(ALL, [np.zeros(ALL.shape, np.float32)])
    with pytest.raises(TypeError, match="list"):
        model.infer(ALL, ())


def test_what_has_no_int8_form_is_told(
    tmp_path: Path, package: ModuleType, error: Any, image: Any, pixels: Any
) -> None:
    floats = image, pixels.astype(np.int8)
    partly = package.load(str(mxqtools.conv(tmp_path / "conv.mxq", np.eye(3), 4, 5))), floats[1]
    for model, x in (floats, partly):
        with pytest.raises(error, match="Model_DtypeMismatched") as caught:
            model.infer(x)
        assert "has no int8 form" in caught.value.reason
    assert np.array_equal(
        partly[0].infer_to_float(np.zeros((4, 5, 3), np.int8))[0].shape, (4, 5, 3)
    )
    with pytest.raises(error, match="Model_DtypeMismatched") as caught:
        partly[0].infer_to_float(pixels)
    assert "only int8" in caught.value.reason


def test_int8_does_not_mix_with_others(tmp_path: Path, package: ModuleType, error: Any) -> None:
    model = package.load(str(mxqtools.two_by_two(tmp_path / "two.mxq", 4)))
    a = np.zeros((1, 1, 4), np.float32)
    for call in (model.infer, model.infer_async):
        with pytest.raises(error) as caught:
            call([a, a.astype(np.int8)])
        assert "either all inputs are int8" in caught.value.reason
