"""What convolutions take over from the nodes around them."""

from typing import Any

import numpy as np

from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.ir import Graph
from maccel_aio.compiler.passes import run_passes
from tests.compiler.onnx_models import Model
from tests.compiler.passes.graphs import IMAGE, ops, passed


def any_node(graph: Graph) -> Any:
    """Return the first node, unchecked: tests read fields that may be None."""
    return graph.nodes[0]


def test_batch_normalisation_folds_into_the_convolution_before_it():
    m = Model({"x": IMAGE})
    c = m.conv("x", (4, 6, 3, 3))
    out = m.add("BatchNormalization", c, *(m.const(np.full(4, v)) for v in (2.0, 1.0, 0.5, 4.0)))
    graph = passed(m, out, simplify=False)
    plain = import_model(m.build(c), simplify=False)
    run_passes(plain)
    assert ops(graph) == ["Conv"]
    factor = 2.0 / np.sqrt(4.0 + 1e-5)
    np.testing.assert_allclose(
        any_node(graph).weights.kernel, any_node(plain).weights.kernel * factor, rtol=1e-6
    )
    np.testing.assert_allclose(
        any_node(graph).weights.bias, (any_node(plain).weights.bias - 0.5) * factor + 1, rtol=1e-5
    )


def test_a_tensor_with_two_readers_keeps_its_own_node():
    m = Model({"x": IMAGE})
    c = m.conv("x", (4, 6, 1, 1))
    graph = passed(m, m.add("Relu", c), m.add("Sigmoid", c))
    assert ops(graph) == ["Conv", "Activation", "Activation"]


def test_an_output_is_not_fused_away():
    m = Model({"x": IMAGE})
    c = m.conv("x", (4, 6, 1, 1))
    graph = passed(m, c, m.add("Relu", c))
    assert ops(graph) == ["Conv", "Activation"]
    assert graph.outputs == [c, graph.nodes[1].output]


def test_the_later_of_two_convolutions_takes_the_residual():
    m = Model({"x": IMAGE})
    first = m.conv("x", (4, 6, 1, 1))
    second = m.conv("x", (4, 6, 1, 1))
    graph = passed(m, m.add("Relu", m.add("Add", first, second)))
    assert ops(graph) == ["Conv", "Conv"]
    host: Any = graph.nodes[1]
    assert host.residual.tensor == first
    assert not host.residual.after_act
    assert host.act.kind == "clamp"


def test_an_activation_before_the_addition_comes_before_the_residual():
    m = Model({"x": IMAGE})
    relu = m.add("Relu", m.conv("x", (6, 6, 1, 1)))
    graph = passed(m, m.add("Add", relu, "x"))
    assert any_node(graph).residual.after_act


def test_two_activations_around_an_addition_are_not_one_epilogue():
    m = Model({"x": IMAGE})
    relu = m.add("Sigmoid", m.conv("x", (6, 6, 1, 1)))
    graph = passed(m, m.add("Relu", m.add("Add", relu, "x")))
    assert ops(graph) == ["Conv", "Add"]


def test_zero_padding_moves_into_the_convolution_and_other_padding_does_not():
    for value, wanted, own in ((0.0, ["Conv"], (1, 2, 3, 0)), (1.0, ["Pad", "Conv"], (0, 0, 0, 0))):
        m = Model({"x": IMAGE})
        pads = m.const([0, 0, 1, 2, 0, 0, 3, 0], np.int64)
        graph = passed(m, m.conv(m.add("Pad", "x", pads, m.const(value)), (4, 6, 3, 3)))
        assert ops(graph) == wanted
        assert graph.nodes[-1].attrs["pads"] == own
