"""Layers that quantise their inputs when these are known, as onnxruntime writes them."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from maccel_aio.compiler.qdynamic import expand_dynamic, is_dynamic
from tests.compiler.families.harness import Compiled, compiled, reference
from tests.compiler.onnx_models import Model

KINDS = {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}


def _products(m: Model) -> str:
    t = m.add("Relu", m.add("Add", m.add("MatMul", "x", m.random(16, 8)), m.random(8)))
    return str(m.add("MatMul", t, m.random(8, 5)))


def _conv(m: Model) -> str:
    return m.conv("x", (6, 4, 3, 3), pads=[1] * 4)


NETWORKS = {"products": ((1, 6, 16), _products), "conv": ((1, 4, 8, 8), _conv)}


@functools.cache
def _quantised(name: str, kind: str, per_channel: bool) -> tuple[onnx.ModelProto, Model]:
    shape, make = NETWORKS[name]
    m = Model({"x": shape}, seed=7)
    with tempfile.TemporaryDirectory() as folder:
        plain, done = Path(folder) / "f.onnx", Path(folder) / "q.onnx"
        onnx.save(m.build(make(m)), plain)
        quantize_dynamic(plain, done, per_channel=per_channel, weight_type=KINDS[kind])
        return onnx.load(done), m


@functools.cache
def _compiled(name: str, kind: str, per_channel: bool) -> Compiled:
    return compiled(_quantised(name, kind, per_channel)[0], precision="int8")


CASES = [(n, k, p) for n in NETWORKS for k in KINDS for p in (True, False)]


@pytest.mark.parametrize("case", CASES)
def test_such_a_model_runs_on_the_npu_as_near_as_its_codes_are(case):
    """onnxruntime rounds a whole tensor with one scale: what is left is its own rounding."""
    model, m = _quantised(*case)
    found = _compiled(*case)
    assert found.on_cpu() == []
    for _ in range(3):
        feed = m.feed()
        (have,), (want,) = found.run(feed), reference(model, feed)
        assert np.square(have - want).sum() < 2e-3 * np.square(want).sum()


@pytest.mark.parametrize("case", CASES)
def test_the_weights_are_the_codes_of_the_model(case):
    model, m = _quantised(*case)
    plain = expand_dynamic(model)
    assert {n.op_type for n in plain.graph.node}.isdisjoint({"MatMulInteger", "ConvInteger"})
    feed = m.feed()
    (have,), (want,) = _compiled(*case).run(feed), reference(plain, feed)
    tolerance = 1e-3 if case[0] == "products" else 1e-11  # rows are rounded, one scale each
    assert np.square(have - want).sum() < tolerance * np.square(want).sum()


def test_codes_of_a_float_layer_are_kept_in_a_quarter_of_the_bytes():
    """Codes without a sign that are far from their zero do not fit: they are float numbers then."""
    signed, unsigned = (_compiled("conv", kind, False).report.layers for kind in ("s8", "u8"))
    assert sum(one.weight_bytes for one in signed) < sum(one.weight_bytes for one in unsigned) / 2
    assert {one.precision for one in (*signed, *unsigned) if one.macs} == {"float32"}


def test_products_of_rows_compute_in_integers():
    layers = _compiled("products", "s8", False).report.layers
    assert {one.precision for one in layers if one.macs} == {"int8"}


def test_calibration_gives_layers_integers_of_their_inputs_too():
    model, m = _quantised("conv", "s8", False)
    found = compiled(model, precision="int8", calibration=m.feed(6))
    assert {layer.precision for layer in found.report.layers if layer.macs} == {"int8"}
    feed = m.feed()
    (have,), (want,) = found.run(feed), reference(model, feed)
    assert np.square(have - want).sum() < 2e-3 * np.square(want).sum()


def _hand_made(order: str, scale: Any, *, cast: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """A product whose scales are applied one after the other, in a given order."""
    rng = np.random.default_rng(1)
    weights: dict[str, Any] = {
        "w": rng.integers(-100, 100, (4, 3)).astype(np.int8),
        "z": np.zeros((), np.int8),
        "s": np.asarray(scale, np.float32),
    }
    first, second = ("s", "xs") if order == "weights" else ("xs", "s")
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"]),
        helper.make_node("MatMulInteger", ["xq", "w", "xz", "z"], ["i"]),
        helper.make_node("Cast", ["i"], ["r"], to=cast),
        helper.make_node("Mul", ["r", first], ["a"]),
        helper.make_node("Mul", [second, "a"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("order", ["weights", "input"])
@pytest.mark.parametrize("scale", [0.01, [0.01, 0.02, 0.005], [[0.01, 0.02, 0.005]]])
def test_scales_may_come_one_after_the_other(order, scale):
    model = _hand_made(order, scale)
    assert is_dynamic(model)
    plain = expand_dynamic(model)
    assert [n.op_type for n in plain.graph.node] == ["DequantizeLinear", "MatMul"]
    feed = {"x": np.random.default_rng(5).standard_normal((2, 4)).astype(np.float32)}
    (have,), (want,) = reference(plain, feed), reference(model, feed)
    np.testing.assert_allclose(have, want, atol=0.06 * np.abs(want).max())


@pytest.mark.parametrize("order", ["weights", "input"])
def test_a_scale_of_rows_is_none_of_weights(order):
    model = _hand_made(order, [[0.01], [0.02]])
    found = compiled(model)
    feed = {"x": np.random.default_rng(5).standard_normal((2, 4)).astype(np.float32)}
    (have,), (want,) = found.run(feed), reference(model, feed)
    np.testing.assert_allclose(have, want, atol=0.06 * np.abs(want).max())
    assert ("MatMulInteger" in found.on_cpu()) == (order == "weights")


def test_sums_that_the_model_shows_stay_integers():
    model = _hand_made("input", 0.01)
    model.graph.output.append(helper.make_tensor_value_info("i", TensorProto.INT32, [2, 3]))
    found = compiled(model)
    assert "MatMulInteger" in found.on_cpu()
    feed = {"x": np.random.default_rng(5).standard_normal((2, 4)).astype(np.float32)}
    for have, want in zip(found.run(feed), reference(model, feed), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5)


@pytest.mark.parametrize("read", ["double", "x:scale", "x:sum"])
def test_what_only_a_branch_reads_stays(read):
    quantised = helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "x:scale", "x:zero"])
    nodes = [
        quantised,
        helper.make_node("MatMulInteger", ["q", "w", "x:zero"], ["x:codes"]),
        helper.make_node("Cast", ["x:codes"], ["x:sum"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x:sum", "x:scale"], ["y"]),
        helper.make_node("Mul", ["x", "two"], ["double"]),
        helper.make_node("ReduceSum", ["y"], ["all"], keepdims=0),
        helper.make_node("Greater", ["all", "two"], ["large"]),
    ]
    branches = {}
    for name, op in (("then_branch", "Neg"), ("else_branch", "Abs")):
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        node = helper.make_node(op, [read], [name])
        branches[name] = helper.make_graph([node], name, [], [out])
    nodes.append(helper.make_node("If", ["large"], ["other"], **branches))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (3, 4))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("y", "other")],
        [
            numpy_helper.from_array(np.eye(4, dtype=np.int8), "w"),
            numpy_helper.from_array(np.array(2.0, np.float32), "two"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    feed = {"x": np.random.default_rng(3).standard_normal((3, 4)).astype(np.float32)}
    found = compiled(model, precision="float32")
    for have, want in zip(found.run(feed), reference(model, feed), strict=True):
        np.testing.assert_allclose(have, want, atol=0.02)


def test_rows_of_a_table_of_codes():
    rng = np.random.default_rng(2)
    weights: dict[str, Any] = {
        "table": rng.integers(-127, 127, (9, 4)).astype(np.int8),
        "s": np.asarray(0.02, np.float32),
        "z": np.asarray(3, np.int8),
    }
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("DequantizeLinear", ["rows", "s", "z"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [5, 4])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    plain = expand_dynamic(model)
    assert [n.op_type for n in plain.graph.node] == ["DequantizeLinear", "Gather"]
    feed = {"ids": np.asarray([3, 0, 8, 3, 1])}
    found = compiled(model, precision="int8")
    np.testing.assert_allclose(found.run(feed)[0], reference(model, feed)[0], atol=1e-6)
