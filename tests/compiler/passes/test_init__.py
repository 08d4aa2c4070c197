"""The passes together."""

from tests.compiler.onnx_models import Model
from tests.compiler.passes.graphs import IMAGE, ops, passed


def test_dead_nodes_are_dropped():
    m = Model({"x": IMAGE})
    m.conv("x", (4, 6, 1, 1))
    graph = passed(m, m.add("Relu", "x"), simplify=False)
    assert ops(graph) == ["Activation"]
