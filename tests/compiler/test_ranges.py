"""Scales and zero points: what must hold for every range."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maccel_aio.compiler.preprocess import Preprocess
from maccel_aio.compiler.ranges import affine_u8, pixel_u8, symmetric_s16

reals = st.floats(-1e6, 1e6, width=32)


@given(reals, reals)
def test_u8_represents_zero_and_loses_at_most_half_a_step_inside_the_range(
    one: float, other: float
) -> None:
    low, high = min(one, other), max(one, other)
    scale, zero = affine_u8(low, high)
    assert scale > 0
    assert 0 <= zero <= 255
    for value in (low, high, 0.0, (low + high) / 2):
        inside = min(max(value, min(low, 0.0)), max(high, 0.0))
        step = np.clip(np.rint(inside / scale) + zero, 0, 255)
        assert abs((step - zero) * scale - inside) <= scale * 0.51


def test_positive_ranges_have_zero_point_zero() -> None:
    scale, zero = affine_u8(0.0, 6.0)
    assert scale == pytest.approx(6 / 255)
    assert zero == 0


def test_negative_ranges_have_zero_point_255() -> None:
    assert affine_u8(-2.0, -1.0)[1] == 255


@given(reals, reals)
def test_s16_holds_the_range_with_room(one: float, other: float) -> None:
    scale = symmetric_s16(one, other)
    assert max(abs(one), abs(other)) / scale <= 32767 / 1.2


def test_uniform_pixels_map_to_themselves() -> None:
    how = Preprocess.of({"mean": 127, "std": 128})
    scale, zero = pixel_u8(how)
    assert (scale, zero) == (1 / 128, 127)
    pixels = np.arange(256)
    np.testing.assert_array_equal(np.rint((pixels - 127) / 128 / scale) + zero, pixels)


def test_other_pixels_fit_in_the_window() -> None:
    how = Preprocess.of({"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]})
    scale, zero = pixel_u8(how)
    for mean, std in zip(how.mean, how.std, strict=True):
        quantised = (np.array([0, 255]) - mean) / std / scale + zero
        assert quantised.min() >= -0.5
        assert quantised.max() <= 255.5
