"""Integers of a convolution: they reproduce the float one, and never overflow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maccel_aio.compiler.weights import InputFormat, quantise_conv

U8 = InputFormat(0.02, 37)


def make(outputs: int, inputs: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(outputs, 3, 3, inputs)), rng.normal(size=outputs)


def test_the_accumulator_times_scale_is_the_float_convolution() -> None:
    weights, bias = make(4, 5)
    found = quantise_conv(weights, bias, U8)
    q = np.random.default_rng(1).integers(0, 256, (3, 3, 5))
    total = found.bias + (found.weights.astype(np.int64) * (q - U8.zero)).sum(axis=(1, 2, 3))
    real = (weights * (q - U8.zero) * U8.scale).sum(axis=(1, 2, 3)) + bias
    np.testing.assert_allclose(total * found.scale, real, atol=0.35)
    np.testing.assert_allclose(found.dequantised(U8), weights, atol=np.abs(weights).max() / 200)


def test_sixteen_bits_are_closer() -> None:
    weights, bias = make(4, 5)
    wide = quantise_conv(weights, bias, U8, bits=16)
    assert wide.weights.dtype == np.int16
    np.testing.assert_allclose(wide.dequantised(U8), weights, atol=1e-3)


def test_bias_correction_cancels_the_error_on_a_constant_input() -> None:
    weights, bias = make(8, 6, 2)
    mean = np.full(6, 2.0)
    found = quantise_conv(weights, bias, U8, mean=mean)
    q = round(2.0 / U8.scale)
    total = found.bias + found.weights.astype(np.int64).sum(axis=(1, 2, 3)) * q
    real = (weights * 2.0).sum(axis=(1, 2, 3)) + bias
    np.testing.assert_allclose(total * found.scale, real, atol=float(found.scale.max()))
    assert np.abs(found.correction).max() > 0


def test_given_scales_are_kept_and_reproduce_the_codes() -> None:
    codes = np.random.default_rng(4).integers(-128, 128, (3, 1, 1, 7))
    scale = np.array([0.5, 0.25, 0.125])
    found = quantise_conv(codes * scale[:, None, None, None], None, U8, scale=scale)
    np.testing.assert_array_equal(found.weights, codes)
    np.testing.assert_allclose(found.scale, scale * U8.scale, rtol=1e-6)


formats = st.sampled_from([U8, InputFormat(1e-9, 0), InputFormat(3e-5, 0, -32768, 32767)])


@given(
    formats,
    st.floats(0, 1e4),
    st.floats(-1e6, 1e6),
    st.integers(1, 400),
    st.sampled_from([8, 16]),
    st.integers(0, 50),
)
def test_no_input_can_overflow_the_accumulator(
    x: InputFormat, size: float, offset: float, inputs: int, bits: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(2, 1, 1, inputs)) * size
    found = quantise_conv(weights, np.array([offset, 0.0]), x, bits=bits)
    codes = found.weights.astype(np.int64).reshape(2, -1)
    assert (found.bound < 2**31).all()
    for q in (np.where(codes > 0, x.high, x.low), np.where(codes > 0, x.low, x.high)):
        total = found.bias.astype(np.int64) + (codes * (q - x.zero)).sum(axis=1)
        assert (np.abs(total) <= found.bound + 1).all()
        shifted = found.bias - x.zero * codes.sum(axis=1)
        assert (np.abs(shifted) <= found.bound + 1).all()
    wanted = np.array([offset, 0.0])
    real = found.bias * found.scale
    np.testing.assert_allclose(real, wanted, rtol=1e-5, atol=float(found.scale.max()))


def test_weights_of_words_use_the_room_that_the_accumulator_leaves() -> None:
    words = InputFormat(1e-4, 0, -32768, 32767)
    weights = np.random.default_rng(3).normal(size=(2, 1, 1, 300))
    found = quantise_conv(weights, None, words, bits=16)
    assert (found.bound < 2**31).all()
    assert (found.bound > 2**30).all()
    with_bytes = quantise_conv(weights, None, words).dequantised(words)
    wide = np.abs(found.dequantised(words) - weights).mean()
    assert wide < np.abs(with_bytes - weights).mean()


def test_a_dead_channel_keeps_its_bias() -> None:
    found = quantise_conv(np.zeros((1, 1, 1, 4)), np.array([3.5]), U8)
    assert found.bias[0] * float(found.scale[0]) == pytest.approx(3.5, rel=1e-6)


def test_a_dead_channel_with_a_tiny_given_scale_cannot_overflow() -> None:
    weights = np.full((2, 1, 1, 8), 1e-9)
    weights[0] = 0.5
    given_scale = np.array([0.5 / 127, 1e-11])
    found = quantise_conv(weights, np.array([0.0, 900.0]), U8, scale=given_scale)
    assert found.scale[0] == pytest.approx(0.5 / 127 * U8.scale)
    assert found.bias[1] * found.scale[1] == pytest.approx(900.0, rel=1e-6)
    assert (found.bound < 2**31).all()
