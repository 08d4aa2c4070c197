"""Sequences and optional values at the edges of a model are tensors for callers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import maccel_aio
import maccel_aio.sync
from maccel_aio.compiler.sequences import unpack_edges
from maccel_aio.errors import CompileError

FLOAT = TensorProto.FLOAT
TENSOR = helper.make_tensor_type_proto(FLOAT, [2, 3])
SEQUENCE = helper.make_sequence_type_proto(TENSOR)
OPTIONAL = helper.make_optional_type_proto(TENSOR)
BOTH = helper.make_optional_type_proto(SEQUENCE)
X = np.arange(12, dtype=np.float32).reshape(2, 2, 3)


def _model(nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any]) -> onnx.ModelProto:
    def values(types: dict[str, Any]) -> list[onnx.ValueInfoProto]:
        return [onnx.ValueInfoProto(name=name, type=kind) for name, kind in types.items()]

    graph = helper.make_graph(nodes, "g", values(inputs), values(outputs))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _run(model: onnx.ModelProto, tmp_path: Any, *arrays: Any) -> list[Any]:
    path = tmp_path / "m.mxq"
    maccel_aio.compile(model, path, precision="float32")
    with maccel_aio.sync.load(path) as loaded:
        return loaded.infer(list(arrays))


@pytest.mark.parametrize("count", [1, 2])
def test_a_sequence_that_comes_in(tmp_path, count):
    node = helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=0)
    model = _model([node], {"s": SEQUENCE}, {"y": helper.make_tensor_type_proto(FLOAT, None)})
    (found,) = _run(model, tmp_path, X[:count])
    np.testing.assert_array_equal(found, X[:count].reshape(-1, 3))


@pytest.mark.parametrize("axis", [0, 1])
def test_a_sequence_that_goes_out(tmp_path, axis):
    node = helper.make_node("SplitToSequence", ["x"], ["s"], axis=axis)
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    (found,) = _run(_model([node], {"x": TENSOR}, {"s": kind}), tmp_path, X[0])
    np.testing.assert_array_equal(found, np.stack(np.split(X[0], X[0].shape[axis], axis)))


def test_optional_values_are_there(tmp_path):
    nodes = [
        helper.make_node("OptionalHasElement", ["o"], ["h"]),
        helper.make_node("OptionalGetElement", ["o"], ["t"]),
        helper.make_node("Tanh", ["t"], ["u"]),
        helper.make_node("Optional", ["u"], ["p"]),
    ]
    yes = helper.make_tensor_type_proto(TensorProto.BOOL, [])
    model = _model(nodes, {"o": OPTIONAL}, {"h": yes, "p": OPTIONAL})
    has, found = _run(model, tmp_path, X[0])
    assert has.tolist() is True
    np.testing.assert_allclose(found, np.tanh(X[0]), atol=1e-6)


def test_an_optional_sequence(tmp_path):
    nodes = [
        helper.make_node("OptionalGetElement", ["o"], ["s"]),
        helper.make_node("Optional", ["s"], ["p"]),
    ]
    (found,) = _run(_model(nodes, {"o": BOTH}, {"p": BOTH}), tmp_path, X)
    np.testing.assert_array_equal(found, X)


def test_a_given_shape_says_how_long_a_sequence_is(tmp_path):
    node = helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=0)
    model = _model([node], {"s": SEQUENCE}, {"y": helper.make_tensor_type_proto(FLOAT, None)})
    maccel_aio.compile(model, tmp_path / "m.mxq", precision="float32", shapes={"s": (2, 2, 3)})
    with maccel_aio.sync.load(tmp_path / "m.mxq") as loaded:
        assert loaded.inputs[0].shape == (2, 2, 3)
        with pytest.raises(maccel_aio.ShapeError):
            loaded.infer(X[:1])


def test_what_holds_no_tensors_is_refused():
    kind = onnx.TypeProto()
    kind.map_type.key_type = TensorProto.INT64
    kind.map_type.value_type.CopyFrom(TENSOR)
    node = helper.make_node("Identity", ["m"], ["y"])
    model = _model([node], {"m": kind}, {"y": TENSOR})
    assert unpack_edges(model) == {}
    with pytest.raises(CompileError, match="'m' is not a tensor"):
        maccel_aio.compile(model, "never.mxq", precision="float32")
