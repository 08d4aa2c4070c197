"""The passes together."""

import numpy as np

from tests.compiler.onnx_models import Model
from tests.compiler.passes.graphs import IMAGE, ops, passed


def test_dead_nodes_are_dropped():
    m = Model({"x": IMAGE})
    m.conv("x", (4, 6, 1, 1))
    graph = passed(m, m.add("Relu", "x"), simplify=False)
    assert ops(graph) == ["Activation"]


def test_a_normalisation_without_a_host_takes_the_arithmetic_and_the_activation_behind_it():
    m = Model({"x": IMAGE})
    channels = IMAGE[1]
    normal = (np.linspace(0.5, 1.5, channels), np.full(channels, 0.25), np.zeros(channels))
    x = m.add("BatchNormalization", "x", *map(m.const, normal), m.const(np.ones(channels)))
    x = m.add("Mul", x, m.const(np.full((channels, 1, 1), 2.0)))
    x = m.add("Add", x, m.const(np.full((channels, 1, 1), -1.0)))
    graph = passed(m, m.add("Relu", x), simplify=False)
    (node,) = graph.nodes
    assert node.act is not None
    assert node.weights is not None
    assert (node.op, node.attrs["group"], node.act.kind) == ("Conv", channels, "clamp")
    scale = normal[0] / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(node.weights.kernel.ravel(), 2 * scale, rtol=1e-6)
    np.testing.assert_allclose(node.weights.bias, np.full(channels, -0.5), rtol=1e-6)
