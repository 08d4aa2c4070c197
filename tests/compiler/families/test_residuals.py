"""Chains of additions: fused, wide, with activations before and after, of unequal scales."""

from __future__ import annotations

import numpy as np
import pytest

from maccel_aio.compiler import QuantizeOptions
from maccel_aio.compiler.precision import PrecisionOptions
from tests.compiler.families.harness import Compiled, check_float, compiled, reference
from tests.compiler.onnx_models import Model

IMAGE = (1, 16, 6, 6)
NARROW = QuantizeOptions(precision=PrecisionOptions(wide_sums=False))


def _conv(m: Model, x: str, *, inputs: int = 16, outputs: int = 16, kernel: int = 3) -> str:
    pad = kernel // 2
    return m.conv(x, (outputs, inputs, kernel, kernel), pads=[pad] * 4)


def _noise_db(found: Compiled, data: dict[str, np.ndarray]) -> float:
    """Return signal to noise in dB of all outputs together, over all samples."""
    signal = noise = 0.0
    for k in range(len(next(iter(data.values())))):
        feed = {name: value[k] for name, value in data.items()}
        for have, want in zip(found.run(feed), reference(found.model, feed), strict=True):
            signal += float(np.square(want.astype(np.float64)).sum())
            noise += float(np.square(want.astype(np.float64) - have).sum())
    return 10 * float(np.log10(signal / noise))


def _check(m: Model, *outputs: str, db: float = 28.0) -> Compiled:
    check_float(m, *outputs)
    data = m.feed(8)
    found = compiled(m.build(*outputs), calibration=data)
    assert _noise_db(found, data) > db
    return found


def _ops(found: Compiled) -> list[str]:
    return [layer.op for layer in found.report.layers if ":u8" not in layer.name]


def test_an_addition_becomes_part_of_its_convolution():
    m = Model({"x": IMAGE})
    t = m.add("Relu", _conv(m, "x"))
    found = _check(m, _conv(m, m.add("Add", _conv(m, t), t), kernel=1))
    assert _ops(found) == ["Conv", "Conv", "Conv"]


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("where", ["before", "after", "both", "none"])
def test_activations_around_an_addition(where, swapped):
    m = Model({"x": IMAGE})
    t = _conv(m, "x")
    inner = _conv(m, t)
    if where in ("before", "both"):
        inner = m.add("Relu", inner)
    total = m.add("Add", *((t, inner) if swapped else (inner, t)))
    if where in ("after", "both"):
        total = m.add("Relu", total)
    _check(m, _conv(m, total, kernel=1))


@pytest.mark.parametrize("act", ["Sigmoid", "HardSwish", "LeakyRelu", "Tanh"])
def test_other_activations_after_an_addition(act):
    m = Model({"x": IMAGE})
    t = _conv(m, "x")
    _check(m, _conv(m, m.add(act, m.add("Add", _conv(m, t), t)), kernel=1))


def test_an_addition_of_additions():
    m = Model({"x": IMAGE})
    t = m.add("Relu", _conv(m, "x"))
    for _ in range(5):
        t = m.add("Add", _conv(m, m.add("Relu", _conv(m, t))), t)
    found = _check(m, _conv(m, t, kernel=1), t)
    assert {layer.precision for layer in found.report.layers if layer.macs} == {"int8"}


def test_a_long_stream_loses_less_in_16_bits():
    """The reason for the wide stream: every 8-bit sum would be rounded again."""
    m = Model({"x": IMAGE})
    t = m.add("Relu", _conv(m, "x"))
    for _ in range(8):
        inner = m.add("Mul", _conv(m, m.add("Relu", _conv(m, t))), m.const(0.3))
        t = m.add("Add", inner, t)
    model, data = m.build(_conv(m, t, kernel=1)), m.feed(8)
    wide = _noise_db(compiled(model, calibration=data), data)
    narrow = _noise_db(compiled(model, calibration=data, quantize=NARROW), data)
    assert wide > narrow + 3


def test_a_sum_that_several_branches_read():
    m = Model({"x": IMAGE})
    t = m.add("Add", _conv(m, "x"), "x")
    heads = [_conv(m, m.add("Relu", t), outputs=4), _conv(m, t, outputs=3), m.add("Sigmoid", t)]
    _check(m, *heads, m.add("GlobalAveragePool", t))


def test_a_sum_that_is_added_twice():
    m = Model({"x": IMAGE})
    t = m.add("Add", _conv(m, "x"), "x")
    once = m.add("Add", _conv(m, t), t)
    twice = m.add("Add", _conv(m, once), t)
    _check(m, _conv(m, m.add("Add", twice, once), kernel=1))


def test_a_tensor_added_to_itself():
    m = Model({"x": IMAGE})
    t = _conv(m, "x")
    _check(m, _conv(m, m.add("Add", t, t), kernel=1))


def test_both_sides_are_convolutions():
    """A block with a projection: only one of the two can take the other in."""
    m = Model({"x": IMAGE})
    t = m.add("Relu", _conv(m, "x"))
    total = m.add("Relu", m.add("Add", _conv(m, t, outputs=24), _conv(m, t, outputs=24, kernel=1)))
    found = _check(m, _conv(m, total, inputs=24, kernel=1))
    assert _ops(found) == ["Conv"] * 4


def test_a_strided_block_with_a_pooled_shortcut():
    m = Model({"x": (1, 16, 8, 8)})
    t = m.add("Relu", _conv(m, "x"))
    inner = m.conv(t, (16, 16, 3, 3), strides=[2, 2], pads=[1] * 4)
    short = m.add("AveragePool", t, kernel_shape=[2, 2], strides=[2, 2])
    _check(m, _conv(m, m.add("Relu", m.add("Add", inner, short)), kernel=1))


@pytest.mark.parametrize("ratio", [1e-3, 1e-1, 10.0, 1e3])
def test_summands_of_unequal_scales(ratio):
    m = Model({"x": IMAGE})
    t = m.add("Relu", _conv(m, "x"))
    small = m.add("Mul", _conv(m, t), m.const(ratio))
    _check(m, _conv(m, m.add("Add", small, t), kernel=1))


def test_a_difference_of_streams():
    m = Model({"x": IMAGE})
    t = _conv(m, "x")
    _check(m, _conv(m, m.add("Sub", m.add("Relu", t), _conv(m, t)), kernel=1))


def test_a_residual_around_a_depthwise_block():
    m = Model({"x": IMAGE})
    t = m.conv("x", (16, 16, 1, 1))
    wide = m.add("Clip", m.conv(t, (48, 16, 1, 1)), m.const(0.0), m.const(6.0))
    wide = m.conv(wide, (48, 1, 3, 3), group=48, pads=[1] * 4)
    wide = m.add("Clip", wide, m.const(0.0), m.const(6.0))
    _check(m, _conv(m, m.add("Add", m.conv(wide, (16, 48, 1, 1)), t), kernel=1))


def test_a_residual_of_linear_layers():
    m = Model({"x": (1, 9, 16)})
    t = m.add("MatMul", "x", m.random(16, 16, scale=0.25))
    inner = m.add("Relu", m.add("MatMul", t, m.random(16, 32, scale=0.25)))
    total = m.add("Add", m.add("MatMul", inner, m.random(32, 16, scale=0.2)), t)
    _check(m, m.add("MatMul", total, m.random(16, 4, scale=0.25)))


def test_a_sum_with_the_input_of_the_model():
    m = Model({"x": IMAGE})
    _check(m, m.add("Add", _conv(m, "x"), "x"))


def test_a_sum_across_joins():
    m = Model({"x": IMAGE})
    a, b = _conv(m, "x", outputs=8), _conv(m, "x", outputs=8)
    joined = m.add("Concat", a, b, axis=1)
    _check(m, _conv(m, m.add("Add", _conv(m, joined), joined), kernel=1))


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_batch_normalisation_by_itself(rank):
    m = Model({"x": (2, 6, 4, 5)[:rank]})
    parameters = [m.random(6), m.random(6), m.random(6), m.const(m.rng.uniform(0.5, 2, 6))]
    t = m.add("BatchNormalization", "x", *parameters, epsilon=1e-3)
    check_float(m, m.add("Relu", t), cpu=["BatchNormalization"] if rank == 2 else [])


def test_batch_normalisation_of_a_join_in_int8():
    """No single convolution before it can take it in."""
    m = Model({"x": IMAGE})
    joined = m.add("Concat", _conv(m, "x", outputs=10), _conv(m, "x", outputs=10), axis=1)
    parameters = [m.random(20), m.random(20), m.random(20), m.const(m.rng.uniform(0.5, 2, 20))]
    t = m.add("Relu", m.add("BatchNormalization", joined, *parameters))
    found = _check(m, _conv(m, t, inputs=20))
    assert found.on_cpu() == []


def test_batch_normalisation_that_two_read():
    m = Model({"x": IMAGE})
    t = _conv(m, "x")
    parameters = [m.random(16), m.random(16), m.random(16), m.const(m.rng.uniform(0.5, 2, 16))]
    normal = m.add("BatchNormalization", t, *parameters)
    _check(m, m.add("Add", m.add("Relu", normal), t), m.add("Sigmoid", normal), db=25)
