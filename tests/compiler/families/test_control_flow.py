"""Loops, scans and conditions of the run go through the host; values of any type at the edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import maccel_aio
import maccel_aio.sync
from tests.compiler.families.harness import reference

FLOAT, BOOL, INT64 = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64
X = np.linspace(-1, 2, 6, dtype=np.float32).reshape(2, 3)
node = helper.make_node


def _values(kinds: dict[str, tuple[int, Any]]) -> list[Any]:
    return [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in kinds.items()]


def _graph(nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any]) -> Any:
    return helper.make_graph(nodes, "g", _values(inputs), _values(outputs))


def _check(
    tmp_path: Any, nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any],
    *feeds: dict[str, Any],
) -> dict[str, str]:  # fmt: skip
    """Compare a compiled model with onnxruntime; return where its operators ran."""
    opsets = [helper.make_opsetid("", 17)]
    graph = _graph(nodes, inputs, outputs)
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    report = maccel_aio.compile(model, tmp_path / "m.mxq", precision="float32")
    with maccel_aio.sync.load(tmp_path / "m.mxq") as loaded:
        for feed in feeds:
            found = loaded.infer([feed[spec.name] for spec in loaded.inputs])
            for have, want in zip(found, reference(model, feed), strict=True):
                assert (have.shape, have.dtype) == (want.shape, want.dtype)
                if want.dtype.kind == "f":
                    np.testing.assert_allclose(have, want, atol=1e-5)
                else:
                    np.testing.assert_array_equal(have, want)
    return {layer.op: layer.where for layer in report.layers}


def test_a_loop_of_as_many_rounds_as_the_caller_says(tmp_path):
    """Its body reads a value that the NPU made; one of its outputs has no size until it ran."""
    body = _graph(
        [
            node("Add", ["v", "w"], ["v2"]),
            node("Identity", ["go"], ["go2"]),
            node("Identity", ["v2"], ["each"]),
        ],
        {"i": (INT64, []), "go": (BOOL, []), "v": (FLOAT, [2, 3])},
        {"go2": (BOOL, []), "v2": (FLOAT, [2, 3]), "each": (FLOAT, [2, 3])},
    )
    nodes = [
        node("Tanh", ["x"], ["w"]),
        node("Loop", ["n", "", "x"], ["y", "all"], body=body),
        node("Tanh", ["y"], ["z"]),
    ]
    where = _check(
        tmp_path,
        nodes,
        {"x": (FLOAT, [2, 3]), "n": (INT64, [])},
        {"z": (FLOAT, [2, 3]), "all": (FLOAT, None)},
        *({"x": X, "n": np.asarray(n)} for n in (1, 4)),
    )
    assert (where["Activation"], where["Loop"]) == ("npu", "cpu")


def test_a_loop_until_a_value_is_large_enough(tmp_path):
    body = _graph(
        [node("Add", ["v", "v"], ["v2"]), node("Less", ["v2", "end"], ["go2"])],
        {"i": (INT64, []), "go": (BOOL, []), "v": (FLOAT, [])},
        {"go2": (BOOL, []), "v2": (FLOAT, [])},
    )
    nodes = [
        node("Less", ["x", "end"], ["first"]),
        node("Loop", ["", "first", "x"], ["y"], body=body),
    ]
    kinds: dict[str, Any] = {"x": (FLOAT, []), "end": (FLOAT, [])}
    feeds = [{"x": np.asarray(1.5, np.float32), "end": np.asarray(e, np.float32)} for e in (2, 90)]
    assert _check(tmp_path, nodes, kinds, {"y": (FLOAT, [])}, *feeds)["Loop"] == "cpu"


def test_a_scan_between_bundles(tmp_path):
    body = _graph(
        [node("Add", ["h", "r"], ["h2"]), node("Identity", ["h2"], ["o"])],
        {"h": (FLOAT, [3]), "r": (FLOAT, [3])},
        {"h2": (FLOAT, [3]), "o": (FLOAT, [3])},
    )
    nodes = [
        node("Tanh", ["x"], ["t"]),
        node("Scan", ["h0", "t"], ["last", "all"], body=body, num_scan_inputs=1),
        node("Tanh", ["all"], ["z"]),
    ]
    where = _check(
        tmp_path,
        nodes,
        {"h0": (FLOAT, [3]), "x": (FLOAT, [2, 3])},
        {"z": (FLOAT, [2, 3]), "last": (FLOAT, [3])},
        {"h0": X[0], "x": X},
    )
    assert (where["Activation"], where["Scan"]) == ("npu", "cpu")


@pytest.mark.parametrize("same", [True, False])
def test_a_condition_of_the_run(tmp_path, same):
    """Branches that make different shapes leave a value without a size, which stays on the host."""
    last = node("Exp", ["x"], ["b"]) if same else node("Concat", ["x", "x"], ["b"], axis=0)
    size = [2, 3] if same else None
    then = _graph([node("Tanh", ["x"], ["a"])], {}, {"a": (FLOAT, [2, 3])})
    other = _graph([last], {}, {"b": (FLOAT, size)})
    nodes = [
        node("If", ["c"], ["y"], then_branch=then, else_branch=other),
        node("Tanh", ["y"], ["z"]),
    ]
    where = _check(
        tmp_path,
        nodes,
        {"c": (BOOL, []), "x": (FLOAT, [2, 3])},
        {"z": (FLOAT, size)},
        *({"c": np.asarray(c), "x": X} for c in (True, False)),
    )
    assert where["If"] == "cpu"
    assert ("npu" in where.values()) == same


def test_types_of_all_kinds_at_the_edges(tmp_path):
    double = TensorProto.DOUBLE
    nodes = [
        node("Cast", ["i"], ["f"], to=FLOAT),
        node("Tanh", ["f"], ["t"]),
        node("Cast", ["t"], ["d"], to=double),
        node("Add", ["d", "e"], ["y"]),
        node("Not", ["b"], ["no"]),
        node("Identity", ["s"], ["text"]),
    ]
    inputs = {
        "i": (INT64, [4]), "e": (double, [4]), "b": (BOOL, [2]), "s": (TensorProto.STRING, [2]),
    }  # fmt: skip
    outputs = {"y": (double, [4]), "no": (BOOL, [2]), "text": (TensorProto.STRING, [2])}
    feed = {
        "i": np.arange(-2, 2),
        "e": np.linspace(0, 1, 4),
        "b": np.asarray([True, False]),
        "s": np.asarray(["a", "bc"], object),
    }
    assert _check(tmp_path, nodes, inputs, outputs, feed)["Activation"] == "npu"


def test_numbers_without_dimensions(tmp_path):
    nodes = [node("Tanh", ["x"], ["t"]), node("Mul", ["t", "k"], ["y"])]
    feed = {"x": np.asarray(0.5, np.float32), "k": np.asarray(3, np.float32)}
    kinds: dict[str, Any] = {"x": (FLOAT, []), "k": (FLOAT, [])}
    where = _check(tmp_path, nodes, kinds, {"y": (FLOAT, []), "t": (FLOAT, [])}, feed)
    assert set(where.values()) == {"npu"}
