"""The graph's own bookkeeping."""

import pytest

from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.ir import FLOAT, CompileError, Tensor
from tests.compiler.onnx_models import Model


def _graph():
    m = Model({"x": (2, 3)})
    first = m.add("Exp", "x")
    return import_model(m.build(m.add("Add", first, first), m.add("Mul", first, m.random(3))))


def test_producers_and_consumers_agree_with_the_nodes():
    graph = _graph()
    exp, add, mul = graph.nodes
    assert graph.producers()[exp.output] is exp
    assert graph.consumers()[exp.output] == [add, add, mul]
    assert graph.activations(mul) == [exp.output]
    assert list(graph.walk("Add", "Mul")) == [add, mul]


def test_tensors_that_nothing_refers_to_are_forgotten():
    graph = _graph()
    graph.outputs = graph.outputs[:1]
    graph.replace_nodes(graph.nodes[:2])
    assert graph.nodes[1].output in graph.tensors
    assert len(graph.tensors) == 3


def test_a_tensor_without_shape_says_so():
    tensor = Tensor("t", None, _graph().tensors["x"].dtype)
    assert tensor.storage == FLOAT
    with pytest.raises(CompileError, match="'t' has no static shape"):
        _ = tensor.dims
