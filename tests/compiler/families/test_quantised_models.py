"""Models that onnxruntime has quantised: the device gives its codes, or their neighbours."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from maccel_aio.errors import CompileError
from tests.compiler.families.harness import Compiled, compiled, reference
from tests.compiler.onnx_models import Model

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGE = (1, 4, 9, 8)
KINDS = {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}


class Samples(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, m: Model) -> None:
        self.left = [m.feed() for _ in range(6)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self.left.pop() if self.left else None


def _quantised(
    m: Model, output: str, kind: str, *, per_channel: bool, form: QuantFormat = QuantFormat.QDQ
) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        plain, done = Path(folder) / "f.onnx", Path(folder) / "q.onnx"
        onnx.save(m.build(output), plain)
        quantize_static(
            plain,
            done,
            Samples(m),
            quant_format=form,
            per_channel=per_channel,
            activation_type=KINDS[kind],
            weight_type=QuantType.QInt8,
        )
        return onnx.load(done)


def _conv(m: Model) -> str:
    return m.conv("x", (6, 4, 3, 3), pads=[1] * 4)


def _conv_relu(m: Model) -> str:
    return str(m.add("Relu", _conv(m)))


def _strided(m: Model) -> str:
    return str(m.add("Relu", m.conv("x", (7, 4, 3, 3), strides=[2, 2], pads=[0, 1, 1, 0])))


def _depthwise(m: Model) -> str:
    return m.conv("x", (4, 1, 3, 3), group=4, pads=[1] * 4)


def _dilated(m: Model) -> str:
    return m.conv("x", (5, 4, 3, 3), dilations=[2, 2])


def _gemm(m: Model) -> str:
    flat = m.add("Flatten", m.add("GlobalAveragePool", _conv_relu(m)))
    return str(m.add("Gemm", flat, m.random(5, 6), m.random(5), transB=1))


def _residual(m: Model) -> str:
    t = _conv_relu(m)
    return str(m.add("Relu", m.add("Add", m.conv(t, (6, 6, 3, 3), pads=[1] * 4), t)))


def _chain(m: Model) -> str:
    t = _conv_relu(m)
    t = m.add("Relu", m.conv(t, (6, 1, 3, 3), group=6, pads=[1] * 4))
    return m.conv(t, (5, 6, 1, 1))


def _pooled(m: Model) -> str:
    t = m.add("MaxPool", _conv_relu(m), kernel_shape=[2, 2], strides=[2, 2])
    return m.conv(t, (5, 6, 1, 1))


def _joined(m: Model) -> str:
    t = m.add("Concat", m.conv("x", (5, 4, 1, 1)), m.conv("x", (4, 4, 3, 3), pads=[1] * 4), axis=1)
    return m.conv(t, (3, 9, 1, 1))


LAYERS: dict[str, Callable[[Model], str]] = {
    "conv": _conv, "conv_relu": _conv_relu, "strided": _strided, "depthwise": _depthwise,
    "dilated": _dilated,
}  # fmt: skip
NETWORKS: dict[str, Callable[[Model], str]] = {
    "gemm": _gemm, "residual": _residual, "chain": _chain, "pooled": _pooled, "joined": _joined,
}  # fmt: skip


FORMS = [QuantFormat.QDQ, QuantFormat.QOperator]


@functools.cache
def _compiled(
    name: str, kind: str, per_channel: bool, form: QuantFormat = QuantFormat.QDQ
) -> tuple[Compiled, Model]:
    m = Model({"x": IMAGE}, seed=len(name))
    model = _quantised(m, (LAYERS | NETWORKS)[name](m), kind, per_channel=per_channel, form=form)
    return compiled(model, precision="int8"), m


def _last_scale(model: onnx.ModelProto) -> float:
    """Return the step of the codes of the output."""
    constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    (last,) = [n for n in model.graph.node if n.output[0] == model.graph.output[0].name]
    return float(constants[last.input[1]])


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("form", FORMS)
def test_a_layer_is_within_one_code_of_onnxruntime(name, kind, per_channel, form):
    """The output leaves the device before it is rounded: half a code, and half for a tie."""
    found, m = _compiled(name, kind, per_channel, form)
    assert found.on_cpu() == []
    step = _last_scale(found.model)
    for _ in range(3):
        feed = {"x": m.feed()["x"] * np.float32(0.7)}  # no clipping
        (have,), (want,) = found.run(feed), reference(found.model, feed)
        assert np.abs(have - want).max() <= step * 1.001


def test_the_scales_of_weights_count_where_a_simplifier_renames_them():
    """MatMul and Add become a Gemm whose weights have a new name."""
    m = Model({"x": (1, 12, 16)})
    y = m.add("Add", m.add("MatMul", "x", m.random(16, 8)), m.random(8))
    found = compiled(_quantised(m, y, "u8", per_channel=True), precision="int8")
    assert found.on_cpu() == []
    step = _last_scale(found.model)
    for _ in range(3):
        feed = {"x": m.feed()["x"] * np.float32(0.7)}
        (have,), (want,) = found.run(feed), reference(found.model, feed)
        assert np.abs(have - want).max() <= step * 1.001


def test_the_scales_of_weights_count_where_nodes_have_no_names():
    found, m = _compiled("conv", "u8", True)
    plain = onnx.ModelProto()
    plain.CopyFrom(found.model)
    for node in plain.graph.node:
        node.ClearField("name")
    again, feed = compiled(plain, precision="int8"), m.feed()
    np.testing.assert_array_equal(again.run(feed)[0], found.run(feed)[0])


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("form", FORMS)
def test_a_network_is_near_onnxruntime(name, kind, per_channel, form):
    """A code more or less in the middle moves the output by its weight, not by its own size."""
    found, m = _compiled(name, kind, per_channel, form)
    assert found.on_cpu() == []
    signal = noise = 0.0
    for _ in range(4):
        feed = {"x": m.feed()["x"] * np.float32(0.7)}
        (have,), (want,) = found.run(feed), reference(found.model, feed)
        signal += float(np.square(want).sum())
        noise += float(np.square(have - want).sum())
    assert 10 * np.log10(signal / noise) > 30


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("form", FORMS)
def test_layers_of_quantised_models_compute_in_integers(name, kind, form):
    found, _ = _compiled(name, kind, True, form)
    weighted = [layer.precision for layer in found.report.layers if layer.macs]
    integer = sum(precision == "int8" for precision in weighted)
    assert integer >= len(weighted) - (name == "gemm")  # a pooled vector may stay float


@pytest.mark.parametrize("kind", KINDS)
def test_the_input_has_the_prescribed_format(kind):
    found, _ = _compiled("conv", kind, True)
    constants = {i.name: numpy_helper.to_array(i) for i in found.model.graph.initializer}
    first = next(n for n in found.model.graph.node if n.input[0] == "x")
    entry = found.file.variant["inputs"][0]
    assert entry["device_dtype"] == "uint8"
    assert entry["scale"] == pytest.approx(float(constants[first.input[1]]), rel=1e-6)
    shift = 128 if kind == "s8" else 0
    assert entry["zero_point"] == int(constants[first.input[2]]) + shift


def test_calibration_may_be_given_as_well_and_changes_nothing():
    found, m = _compiled("chain", "u8", True)
    again = compiled(found.model, precision="int8", calibration=m.feed(4))
    feed = m.feed()
    np.testing.assert_array_equal(found.run(feed)[0], again.run(feed)[0])


@pytest.mark.parametrize("how", ["zero", "negative", "nan"])
def test_scales_that_are_none(how, tmp_path):
    found, _ = _compiled("conv", "u8", True)
    model = onnx.ModelProto()
    model.CopyFrom(found.model)
    value: Any = {"zero": 0.0, "negative": -1.0, "nan": np.nan}[how]
    for entry in model.graph.initializer:
        if entry.name == "x_scale":
            entry.CopyFrom(numpy_helper.from_array(np.array(value, np.float32), entry.name))
    with pytest.raises(CompileError, match="scale is not positive"):
        compiled(model, precision="int8")


def _coded(m: Model, shape: tuple[int, ...], scale: Any, **attrs: Any) -> str:
    """Return weights that are dequantised codes of 8 bits."""
    codes = m.const(m.rng.integers(-127, 128, shape).astype(np.int8))
    numbers = np.asarray(scale, np.float32)
    zero = np.zeros(numbers.shape, np.int8)
    return str(m.add("DequantizeLinear", codes, m.const(numbers), m.const(zero), **attrs))


def _weight_only_conv(m: Model) -> str:
    weights = _coded(m, (6, 4, 3, 3), m.rng.uniform(0.01, 0.03, 6), axis=0)
    return str(m.add("Relu", m.add("Conv", "x", weights, m.random(6), pads=[1] * 4)))


def _weight_only_transposed(m: Model) -> str:
    weights = _coded(m, (4, 6, 2, 2), 0.02)
    return str(m.add("ConvTranspose", "x", weights, strides=[2, 2]))


def _weight_only_product(m: Model) -> str:
    weights = _coded(m, (8, 5), m.rng.uniform(0.01, 0.03, 5), axis=1)
    return str(m.add("Add", m.add("MatMul", "x", weights), m.random(5)))


WEIGHT_ONLY = {
    "conv": (IMAGE, _weight_only_conv),
    "transposed": (IMAGE, _weight_only_transposed),
    "product": ((1, 4, 9, 8), _weight_only_product),
}


@pytest.mark.parametrize("name", WEIGHT_ONLY)
def test_weights_alone_may_be_codes(name):
    """Nothing says how to round activations: they stay float, and the codes are kept."""
    shape, make = WEIGHT_ONLY[name]
    m = Model({"x": shape}, seed=3)
    model = m.build(make(m))
    found = compiled(model, precision="int8")
    assert found.on_cpu() == []
    layers = [layer for layer in found.report.layers if layer.macs]
    assert {layer.precision for layer in layers} == {"float32"}
    codes = max(int(np.prod(w.dims)) for w in model.graph.initializer)
    assert sum(layer.weight_bytes for layer in layers) < 3.5 * codes
    feed = m.feed()
    np.testing.assert_allclose(found.run(feed)[0], reference(model, feed)[0], rtol=1e-4, atol=1e-5)


def test_weights_with_a_scale_for_every_block():
    m = Model({"x": (1, 3, 8)}, opset=21, seed=3)
    weights = _coded(m, (8, 5), m.rng.uniform(0.01, 0.03, (2, 5)), axis=0, block_size=4)
    model = m.build(m.add("MatMul", "x", weights))
    model.ir_version = 10
    found, feed = compiled(model, precision="int8"), m.feed()
    assert found.on_cpu() == []
    np.testing.assert_allclose(found.run(feed)[0], reference(model, feed)[0], rtol=1e-4, atol=1e-5)


def _rounded(m: Model, x: str, scale: float, zero: int) -> str:
    """Return a pair as PyTorch exports it: its numbers are Constant nodes."""
    numbers = (np.asarray(scale, np.float32), np.asarray(zero, np.uint8))
    names = [str(m.add("Constant", value=numpy_helper.from_array(value))) for value in numbers]
    return str(m.add("DequantizeLinear", m.add("QuantizeLinear", x, *names), *names))


def _torch_conv(m: Model, x: str, shape: tuple[int, ...], step: float, **attrs: Any) -> str:
    scale = m.rng.uniform(0.004, 0.012, shape[0])
    bias = m.const(m.rng.integers(-900, 900, shape[0]).astype(np.int32))
    real = m.add("DequantizeLinear", bias, m.const((scale * step).astype(np.float32)), axis=0)
    return str(m.add("Conv", x, _coded(m, shape, scale, axis=0), real, **attrs))


def test_pairs_as_pytorch_exports_them():
    m = Model({"x": IMAGE}, seed=5)
    x = _rounded(m, "x", 0.03, 121)
    y = _rounded(m, m.add("Relu", _torch_conv(m, x, (6, 4, 3, 3), 0.03, pads=[1] * 4)), 0.02, 0)
    found = compiled(m.build(y), precision="int8")
    assert found.on_cpu() == []
    assert {layer.precision for layer in found.report.layers if layer.macs} == {"int8"}
    for _ in range(3):
        feed = m.feed()
        (have,), (want,) = found.run(feed), reference(found.model, feed)
        assert np.abs(have - want).max() <= 0.02 * 1.001
        assert len(np.unique(want)) > 20
