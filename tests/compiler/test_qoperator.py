"""Operators on codes in float between pairs: onnxruntime gives the same codes, or neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from maccel_aio.compiler.qoperator import expand_qoperators, has_qoperators
from tests.compiler.families.harness import compiled, reference

RNG = np.random.default_rng(4)
DOMAIN = "com.microsoft"


def _numbers(scale: Any, zero: int, dtype: Any = np.uint8) -> list[np.ndarray]:
    return [np.asarray(scale, np.float32), np.asarray(zero, dtype)]


def _codes(*shape: int) -> np.ndarray:
    return RNG.integers(-100, 100, shape).astype(np.int8)


OUT = _numbers(0.05, 120)
B = _numbers(0.02, 7)
BIAS = RNG.integers(-300, 300, 5).astype(np.int32)
COLUMNS = [RNG.uniform(0.01, 0.03, 5).astype(np.float32), np.zeros(5, np.int8)]

#: op -> shape of x, what follows x, its scale and its zero point, attributes, output dims.
CASES: dict[str, tuple[tuple[int, ...], list[Any], dict[str, Any]]] = {
    "QLinearConv": ((1, 4, 6, 6), [_codes(5, 4, 3, 3), *COLUMNS, *OUT, BIAS], {"pads": [1] * 4}),
    "QLinearMatMul": ((3, 4), [_codes(4, 5), *_numbers(0.02, 0, np.int8), *OUT], {}),
    "QGemm": ((3, 4), [_codes(5, 4), *COLUMNS, BIAS, *OUT], {"transB": 1}),
    "QLinearAdd": ((3, 4), ["x", *B, *OUT], {}),
    "QLinearMul": ((3, 4), ["x", *B, *OUT], {}),
    "QLinearSigmoid": ((3, 4), [*_numbers(1 / 256, 0)], {}),
    "QLinearLeakyRelu": ((3, 4), [*OUT], {"alpha": 0.2}),
    "QLinearSoftmax": ((3, 4), [*_numbers(1 / 256, 0)], {"axis": -1, "opset": 13}),
    "QLinearAveragePool": ((1, 2, 6, 6), [*OUT], {"kernel_shape": [3, 3]}),
    "QLinearGlobalAveragePool": ((1, 2, 6, 6), [*OUT], {}),
}


def _model(op: str, rest: list[Any], attrs: dict[str, Any], shape: tuple[int, ...]) -> Any:
    """x is quantised, goes through `op`, then through operators that move codes."""
    weights: list[Any] = []

    def const(value: Any) -> str:
        if isinstance(value, str):
            return "xq"
        weights.append(numpy_helper.from_array(value, f"w{len(weights)}"))
        return str(weights[-1].name)

    scale, zero = map(const, _numbers(0.03, 130))
    names = [const(value) for value in rest]
    domain = "" if op in ("QLinearConv", "QLinearMatMul") else DOMAIN
    at = {"QGemm": -2, "QLinearConv": -3}.get(op, len(names) - 2)
    out = names[at : at + 2 or None]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", scale, zero], ["xq"]),
        helper.make_node(op, ["xq", scale, zero, *names], ["yq"], domain=domain, **attrs),
        helper.make_node("Flatten", ["yq"], ["f"]),
        helper.make_node("DequantizeLinear", ["f", *out], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8), weights, out[0]


def _step(weights: list[Any], name: str) -> float:
    return float(next(numpy_helper.to_array(w) for w in weights if w.name == name))


@pytest.mark.parametrize("op", CASES)
def test_an_operator_on_codes_gives_the_codes_that_it_gave(op):
    shape, rest, attrs = CASES[op]
    model, weights, scale = _model(op, rest, attrs, shape)
    expanded = expand_qoperators(model)
    assert {n.op_type for n in expanded.graph.node}.isdisjoint(CASES)
    step = _step(weights, scale)
    for _ in range(4):
        slope = np.linspace(-1.5, 1.5, int(np.prod(shape))).reshape(
            shape
        )  # no mean is like another
        feed = {"x": (RNG.standard_normal(shape) + slope).astype(np.float32)}
        (want,), (have,) = reference(model, feed), reference(expanded, feed)
        assert np.abs(want - have).max() <= step * 1.001
        assert len(np.unique(want)) > 1


@pytest.mark.parametrize("bias", [True, False])
def test_a_product_without_a_scale_of_its_output_makes_real_values(bias):
    weights = [_codes(5, 4), *COLUMNS, *([BIAS] if bias else [])]
    model, _, _ = _model("QGemm", [*weights, *OUT], {"transB": 1}, (3, 4))
    product = model.graph.node[1]
    del product.input[6 + bias :], model.graph.node[2:]
    product.output[0] = "y"
    found = compiled(model, precision="int8")
    assert found.on_cpu() == []
    assert {layer.precision for layer in found.report.layers if layer.macs} == {"int8"}
    feed = {"x": RNG.standard_normal((3, 4)).astype(np.float32)}
    (want,), (have,) = reference(model, feed), found.run(feed)
    np.testing.assert_allclose(have, want, atol=2e-5)


def test_an_operator_on_codes_that_has_no_float_form_stays_on_codes():
    """Softmax of old operator sets works on all dimensions from an axis on."""
    attrs = {"axis": 1, "opset": 12}
    model, _, _ = _model("QLinearSoftmax", [*_numbers(1 / 256, 0)], attrs, (3, 4, 2))
    found = compiled(model, precision="int8")
    assert "com.microsoft.QLinearSoftmax" in found.on_cpu()
    feed = {"x": RNG.standard_normal((3, 4, 2)).astype(np.float32)}
    np.testing.assert_array_equal(found.run(feed)[0], reference(model, feed)[0])


def test_joined_codes():
    first = np.asarray([0.03], np.float32), np.asarray([128], np.uint8)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node(
            "QLinearConcat", ["s2", "z", "q", "s", "z", "q", "s", "z"], ["c"], domain=DOMAIN, axis=1
        ),
        helper.make_node("DequantizeLinear", ["c", "s2", "z"], ["y"]),
    ]
    weights = [
        numpy_helper.from_array(first[0][0], "s"),
        numpy_helper.from_array(first[1][0], "z"),
        numpy_helper.from_array(np.asarray(0.05, np.float32), "s2"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [x], [y], weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    feed = {"x": RNG.standard_normal((2, 3)).astype(np.float32)}
    (want,), (have,) = reference(model, feed), reference(expand_qoperators(model), feed)
    assert np.abs(want - have).max() <= 0.0501


def test_what_cannot_be_said_in_float_stays(tmp_path):
    shape, rest, attrs = CASES["QLinearAveragePool"]
    model, _, _ = _model("QLinearAveragePool", rest, {**attrs, "channels_last": 1}, shape)
    kept = [n.op_type for n in expand_qoperators(model).graph.node]
    assert kept == ["QuantizeLinear", "QLinearAveragePool", "Flatten", "DequantizeLinear"]
    shape, rest, attrs = CASES["QGemm"]
    model, _, _ = _model("QGemm", rest, {**attrs, "alpha": 0.5}, shape)
    assert "QGemm" in [n.op_type for n in expand_qoperators(model).graph.node]


def _pooled(op: str, version: int, outputs: int = 1, **attrs: Any) -> onnx.ModelProto:
    """Quantise x, double it, apply `op` from codes to codes."""
    weights = {"s": np.float32(0.03), "z": np.uint8(128), "t": np.float32(1 / 256)}
    softmax = op == "QLinearSoftmax"
    names = ["d", "s", "z", "t", "z0"] if softmax else ["d"]
    weights["z0"] = np.uint8(0)
    made = ["p", "places"][:outputs]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node(
            "QLinearAdd", ["q", "s", "z", "q", "s", "z", "s", "z"], ["d"], domain=DOMAIN
        ),
        helper.make_node(op, names, made, domain=DOMAIN if softmax else "", **attrs),
        helper.make_node("DequantizeLinear", ["p", *(names[3:] or ("s", "z"))], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    places = helper.make_tensor_value_info("places", TensorProto.INT64, None)
    constants = [numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()]
    graph = helper.make_graph(nodes, "g", [x], [y, places][:outputs], constants)
    opsets = [helper.make_opsetid("", version), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("version", [11, 12, 13, 17])
@pytest.mark.parametrize("axis", [{}, {"axis": 1}, {"axis": -1}])
def test_shares_are_of_one_dimension_in_older_operator_sets_too(version, axis):
    model = _pooled("QLinearSoftmax", version, opset=13, **axis)
    feed = {"x": RNG.standard_normal((1, 2, 4, 4)).astype(np.float32)}
    (want,), (have,) = reference(model, feed), reference(expand_qoperators(model), feed)
    assert np.abs(want - have).max() <= 1.001 / 256


def test_places_of_a_pooling_are_not_quantised():
    model = _pooled("MaxPool", 17, 2, kernel_shape=[2, 2], strides=[2, 2])
    feed = {"x": RNG.standard_normal((1, 2, 4, 4)).astype(np.float32)}
    want, have = reference(model, feed), reference(expand_qoperators(model), feed)
    for one, other in zip(want, have, strict=True):
        np.testing.assert_array_equal(other, one)


def test_biases_in_a_row_have_a_scale_for_each_column():
    shape, rest, attrs = CASES["QGemm"]
    model, _, scale = _model("QGemm", [*rest[:3], BIAS[None], *rest[4:]], attrs, shape)
    feed = {"x": RNG.standard_normal(shape).astype(np.float32)}
    (want,), (have,) = reference(model, feed), reference(expand_qoperators(model), feed)
    step = _step(list(model.graph.initializer), scale)
    assert np.abs(want - have).max() <= step * 1.001


def test_other_models_are_not_touched():
    model = helper.make_model(
        helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], [])
    )
    assert not has_qoperators(model)
    assert expand_qoperators(model) is model
    assert isinstance(model, onnx.ModelProto)
