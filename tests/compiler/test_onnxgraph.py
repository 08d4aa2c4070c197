"""Cutting parts out of ONNX models."""

import numpy as np
import onnxruntime as ort

from maccel_aio.compiler.importer import to_graph
from maccel_aio.compiler.ir import Tensor
from maccel_aio.compiler.onnxgraph import attributes, extract, needed_nodes
from tests.compiler.onnx_models import Model


def _run(model, feed):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feed)


def _chain():
    m = Model({"x": (1, 4, 5)})
    a = m.add("Exp", "x")
    b = m.add("Mul", a, m.random(4, 5))
    c = m.add("Neg", b)
    return m, m.build(c), (a, b, c)


def test_only_the_nodes_between_two_tensors_are_needed():
    _, model, (a, b, c) = _chain()
    assert [n.output[0] for n in needed_nodes(model, [a], [b])] == [b]
    assert [n.output[0] for n in needed_nodes(model, ["x"], [c])] == [a, b, c]


def test_a_part_computes_what_the_whole_computes():
    m, model, (a, _, c) = _chain()
    graph = to_graph(model, "g")
    part = extract(model, [graph.tensors[a]], [graph.tensors[c]], {})
    x = m.feed()["x"]
    (whole,) = _run(model, {"x": x})
    np.testing.assert_allclose(_run(part, {a: np.exp(x)})[0], whole, rtol=1e-6)
    assert len(part.graph.node) == 2


def test_values_the_compiler_computed_become_initializers():
    _, model, (a, b, _) = _chain()
    graph = to_graph(model, "g")
    value = np.ones((1, 4, 5), np.float32)
    part = extract(model, [], [graph.tensors[b]], {a: value})
    assert [n.op_type for n in part.graph.node] == ["Mul"]
    assert _run(part, {})[0].shape == (1, 4, 5)


def test_a_part_may_have_outputs_without_static_shape():
    m = Model({"x": (2, 3)})
    out = m.add("NonZero", "x")
    model = m.build(out)
    tensors = [Tensor("x", (2, 3), np.dtype(np.float32)), Tensor(out, None, np.dtype(np.int64))]
    part = extract(model, tensors[:1], tensors[1:], {})
    assert _run(part, {"x": np.eye(2, 3, dtype=np.float32)})[0].tolist() == [[0, 1], [0, 1]]


def test_attributes_are_python_values():
    m = Model({"x": (1, 3, 8, 8)})
    model = m.build(m.conv("x", (4, 3, 3, 3), strides=[2, 2], auto_pad="VALID"))
    assert attributes(model.graph.node[0]) == {"strides": [2, 2], "auto_pad": "VALID"}
