"""Numbers at the edges: dead channels, constant activations, tiny and huge scales, saturation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maccel_aio.compiler.ranges import affine_u8, symmetric_s16
from maccel_aio.compiler.weights import InputFormat, quantise_conv
from tests.compiler.families.harness import PROPERTY, check_float, compiled, reference
from tests.compiler.onnx_models import Model

IMAGE = (1, 8, 5, 5)
ROOM = 2**31


def _db(have: np.ndarray, want: np.ndarray) -> float:
    noise = np.square(have.astype(np.float64) - want).sum()
    signal = np.square(want.astype(np.float64)).sum()
    return float(10 * np.log10(signal / noise)) if noise else 200.0


def _run(m: Model, output: str, data: dict[str, np.ndarray] | None = None) -> float:
    """Return the signal to noise of one calibrated sample in int8; also checks the float form."""
    check_float(m, output)
    data = m.feed(6) if data is None else data
    model = m.build(output)
    found = compiled(model, calibration=data)
    feed = {name: value[0] for name, value in data.items()}
    (have,), (want,) = found.run(feed), reference(model, feed)
    assert np.isfinite(have).all()
    return _db(have, want)


def _weights(m: Model, outputs: int = 6, inputs: int = 8) -> np.ndarray:
    return (m.rng.normal(size=(outputs, inputs, 3, 3)) * 0.1).astype(np.float32)


@pytest.mark.parametrize("bias", [0.0, 1.0, -300.0])
def test_channels_without_weights_hold_their_bias(bias):
    m = Model({"x": IMAGE})
    weight = _weights(m)
    weight[[0, 3]] = 0.0
    biases = np.zeros(6)
    biases[[0, 3]] = bias
    t = m.add("Conv", "x", m.const(weight), m.const(biases))
    data = m.feed(4)
    (have,) = compiled(m.build(t), calibration=data).run({"x": data["x"][0]})
    np.testing.assert_allclose(have[:, [0, 3]], bias, rtol=1e-5, atol=1e-6)
    assert _run(m, t, data) > 30


def test_a_layer_of_zeros():
    m = Model({"x": IMAGE})
    t = m.add("Conv", "x", m.const(np.zeros((6, 8, 3, 3))), m.const(np.zeros(6)))
    t = m.conv(m.add("Relu", t), (4, 6, 1, 1), bias=False)
    data = m.feed(4)
    (have,) = compiled(m.build(t), calibration=data).run({"x": data["x"][0]})
    np.testing.assert_allclose(have, 0.0, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0, -2.5, 1e-6, 1e6])
def test_an_activation_that_is_constant(value):
    m = Model({"x": IMAGE})
    t = m.conv("x", (6, 8, 3, 3))
    constant = m.add("Clip", t, m.const(value), m.const(value))
    out = m.conv(constant, (4, 6, 1, 1))
    data = m.feed(4)
    model = m.build(out)
    found = compiled(model, calibration=data)
    feed = {"x": data["x"][0]}
    (have,), (want,) = found.run(feed), reference(model, feed)
    np.testing.assert_allclose(have, want, rtol=0.03, atol=0.03 * np.abs(want).max())


def test_samples_of_zeros():
    m = Model({"x": IMAGE})
    out = m.conv(m.add("Relu", m.conv("x", (6, 8, 3, 3))), (4, 6, 1, 1))
    zeros = {"x": np.zeros((3, *IMAGE), np.float32)}
    found = compiled(m.build(out), calibration=zeros)
    (have,) = found.run({"x": zeros["x"][0]})
    assert np.isfinite(have).all()
    (other,) = found.run(m.feed())
    assert np.isfinite(other).all()


@pytest.mark.parametrize("scale", [1e-20, 1e-10, 1e-4, 1e4, 1e10, 1e18])
def test_inputs_of_any_magnitude(scale):
    m = Model({"x": IMAGE})
    t = m.conv("x", (6, 8, 3, 3), bias=False)
    data = {"x": m.feed(6)["x"] * np.float32(scale)}
    model = m.build(t)
    found = compiled(model, calibration=data)
    feed = {"x": data["x"][0]}
    (have,), (want,) = found.run(feed), reference(model, feed)
    if scale < 1e-9:  # below the smallest step: zero is right to within that
        assert np.abs(have - want).max() <= 1e-9
    else:
        assert _db(have, want) > 30


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e-3, 1e3, 1e6, 1e12])
def test_weights_of_any_magnitude(scale):
    m = Model({"x": IMAGE})
    t = m.add("Conv", "x", m.const(_weights(m) * np.float32(scale)))
    data = m.feed(6)
    model = m.build(t)
    found = compiled(model, calibration=data)
    feed = {"x": data["x"][0]}
    assert _db(found.run(feed)[0], reference(model, feed)[0]) > 30


def test_output_channels_of_very_different_magnitudes():
    """Weights have a scale per channel, so a small one is as exact as a large one."""
    m = Model({"x": IMAGE})
    weight = _weights(m) * np.float32(10.0) ** np.arange(-3, 3)[:, None, None, None]
    model = m.build(m.add("Conv", "x", m.const(weight.astype(np.float32))))
    data = m.feed(6)
    found = compiled(model, calibration=data)
    feed = {"x": data["x"][0]}
    (have,), (want,) = found.run(feed), reference(model, feed)
    for channel in range(6):
        assert _db(have[:, channel], want[:, channel]) > 30


def test_one_weight_far_out_costs_its_channel_only():
    m = Model({"x": IMAGE})
    weight = _weights(m)
    weight[2, 0, 0, 0] = 50.0
    model = m.build(m.add("Conv", "x", m.const(weight)))
    data = m.feed(6)
    found = compiled(model, calibration=data)
    feed = {"x": data["x"][0]}
    (have,), (want,) = found.run(feed), reference(model, feed)
    others = [0, 1, 3, 4, 5]
    assert _db(have[:, others], want[:, others]) > 35


def test_values_beyond_the_calibrated_range_saturate_and_do_not_wrap():
    m = Model({"x": IMAGE})
    t = m.add("Relu", m.conv("x", (6, 8, 1, 1)))
    model = m.build(m.conv(t, (4, 6, 1, 1), bias=False))
    data = m.feed(6)
    found = compiled(model, calibration=data)
    usual = np.abs(found.run({"x": data["x"][0]})[0]).max()
    for factor in (10.0, 1e4, 1e9):
        (have,) = found.run({"x": data["x"][0] * np.float32(factor)})
        assert np.isfinite(have).all()
        assert np.abs(have).max() < 100 * usual


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_inputs_that_are_not_finite_do_no_harm_to_integers(value):
    m = Model({"x": IMAGE})
    found = compiled(m.build(m.conv("x", (6, 8, 1, 1))), calibration=m.feed(4))
    feed = m.feed()
    feed["x"][0, 0, 0, 0] = value
    (have,) = found.run(feed)
    assert np.isfinite(have).all()


@settings(PROPERTY, max_examples=200)
@given(
    low=st.floats(-(2.0**99), 2.0**99, width=32),
    high=st.floats(-(2.0**99), 2.0**99, width=32),
)
def test_a_window_holds_its_range_and_zero(low, high):
    low, high = min(low, high), max(low, high)
    scale, zero = affine_u8(low, high)
    assert 0 <= zero <= 255
    assert scale > 0
    slack = scale * 1e-3 + 1e-30
    assert (0 - zero) * scale <= min(low, 0.0) + slack
    assert (255 - zero) * scale >= max(high, 0.0) - slack
    # No wider than rounding the zero point makes necessary, except below the smallest step.
    assert scale * 255 <= max((max(high, 0.0) - min(low, 0.0)) * (1 + 2 / 255), 265e-12) * 1.001
    wide = symmetric_s16(low, high)
    assert 32767 * wide >= max(abs(low), abs(high)) * (1 - 1e-6)


@settings(PROPERTY, max_examples=60)
@given(data=st.data())
def test_no_accumulator_can_overflow(data):
    """The worst inputs that codes allow, for weights and biases of any size."""
    draw = data.draw
    outputs, inputs, k = draw(st.integers(1, 4)), draw(st.integers(1, 40)), 3
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    weights = rng.normal(size=(outputs, k, k, inputs)) * 10.0 ** draw(st.integers(-8, 8))
    bias = rng.normal(size=outputs) * 10.0 ** draw(st.integers(-10, 12))
    wide = draw(st.booleans())
    low, high = (-32768, 32767) if wide else (0, 255)
    zero = 0 if wide else draw(st.integers(0, 255))
    x = InputFormat(10.0 ** draw(st.integers(-9, 5)), zero, low, high)
    found = quantise_conv(weights, bias, x, bits=draw(st.sampled_from([8, 16])))
    codes = found.weights.astype(np.int64)
    for extreme in (low, high):
        worst = np.where(codes > 0, extreme, low + high - extreme) * codes
        sums = worst.reshape(outputs, -1).sum(axis=1) + found.bias
        assert np.abs(sums).max() < ROOM
        centred = sums - zero * codes.reshape(outputs, -1).sum(axis=1)
        assert np.abs(centred).max() < ROOM
        assert (np.abs(centred) <= found.bound + 1).all()
