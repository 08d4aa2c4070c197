"""What the passes make of small models."""

from typing import Any

import numpy as np
import pytest

from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.ir import Graph
from maccel_aio.compiler.passes import run_passes
from tests.compiler.onnx_models import Model

IMAGE = (1, 6, 9, 11)


def _graph(m: Model, *outputs: str, simplify: bool = True) -> Graph:
    graph = import_model(m.build(*outputs), simplify=simplify)
    run_passes(graph)
    return graph


def _first(graph: Graph) -> Any:
    """Return the first node, unchecked: tests read fields that may be None."""
    return graph.nodes[0]


def _ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def test_batch_normalisation_folds_into_the_convolution_before_it():
    m = Model({"x": IMAGE})
    c = m.conv("x", (4, 6, 3, 3))
    out = m.add("BatchNormalization", c, *(m.const(np.full(4, v)) for v in (2.0, 1.0, 0.5, 4.0)))
    graph = _graph(m, out, simplify=False)
    plain = import_model(m.build(c), simplify=False)
    run_passes(plain)
    assert _ops(graph) == ["Conv"]
    factor = 2.0 / np.sqrt(4.0 + 1e-5)
    np.testing.assert_allclose(
        _first(graph).weights.kernel, _first(plain).weights.kernel * factor, rtol=1e-6
    )
    np.testing.assert_allclose(
        _first(graph).weights.bias, (_first(plain).weights.bias - 0.5) * factor + 1, rtol=1e-5
    )


def test_a_tensor_with_two_readers_keeps_its_own_node():
    m = Model({"x": IMAGE})
    c = m.conv("x", (4, 6, 1, 1))
    graph = _graph(m, m.add("Relu", c), m.add("Sigmoid", c))
    assert _ops(graph) == ["Conv", "Activation", "Activation"]


def test_an_output_is_not_fused_away():
    m = Model({"x": IMAGE})
    c = m.conv("x", (4, 6, 1, 1))
    graph = _graph(m, c, m.add("Relu", c))
    assert _ops(graph) == ["Conv", "Activation"]
    assert graph.outputs == [c, graph.nodes[1].output]


def test_the_later_of_two_convolutions_takes_the_residual():
    m = Model({"x": IMAGE})
    first = m.conv("x", (4, 6, 1, 1))
    second = m.conv("x", (4, 6, 1, 1))
    graph = _graph(m, m.add("Relu", m.add("Add", first, second)))
    assert _ops(graph) == ["Conv", "Conv"]
    host: Any = graph.nodes[1]
    assert host.residual.tensor == first
    assert not host.residual.after_act
    assert host.act.kind == "clamp"


def test_an_activation_before_the_addition_comes_before_the_residual():
    m = Model({"x": IMAGE})
    relu = m.add("Relu", m.conv("x", (6, 6, 1, 1)))
    graph = _graph(m, m.add("Add", relu, "x"))
    assert _first(graph).residual.after_act


def test_two_activations_around_an_addition_are_not_one_epilogue():
    m = Model({"x": IMAGE})
    relu = m.add("Sigmoid", m.conv("x", (6, 6, 1, 1)))
    graph = _graph(m, m.add("Relu", m.add("Add", relu, "x")))
    assert _ops(graph) == ["Conv", "Add"]


def test_zero_padding_moves_into_the_convolution_and_other_padding_does_not():
    for value, ops, own in ((0.0, ["Conv"], (1, 2, 3, 0)), (1.0, ["Pad", "Conv"], (0, 0, 0, 0))):
        m = Model({"x": IMAGE})
        pads = m.const([0, 0, 1, 2, 0, 0, 3, 0], np.int64)
        graph = _graph(m, m.conv(m.add("Pad", "x", pads, m.const(value)), (4, 6, 3, 3)))
        assert _ops(graph) == ops
        assert graph.nodes[-1].attrs["pads"] == own


@pytest.mark.parametrize(
    ("build", "kind"),
    [
        (lambda m: m.add("Mul", m.add("Sigmoid", "x"), "x"), "silu"),
        (lambda m: m.add("Mul", "x", m.add("HardSigmoid", "x", alpha=1 / 6)), "hardswish"),
        (
            lambda m: m.add(
                "Mul",
                m.add("Clip", m.add("Add", m.const(3.0), "x"), m.const(0.0), m.const(6.0)),
                m.const(1 / 6),
            ),
            "hardsigmoid",
        ),
        (
            lambda m: m.add(
                "Mul",
                "x",
                m.add(
                    "Mul",
                    m.const(0.5),
                    m.add("Add", m.const(1.0), m.add("Erf", m.add("Mul", "x", m.const(0.5**0.5)))),
                ),
            ),
            "gelu_erf",
        ),
        (lambda m: m.add("Log", m.add("Add", m.add("Exp", "x"), m.const(1.0))), "softplus"),
    ],
)
def test_spelled_out_functions_are_recognised(build, kind):
    m = Model({"x": IMAGE})
    graph = _graph(m, build(m))
    assert [(n.op, n.act.kind if n.act else "") for n in graph.nodes] == [("Activation", kind)]


def test_what_only_resembles_a_function_is_left_alone():
    m = Model({"x": IMAGE})
    graph = _graph(m, m.add("Mul", "x", m.add("Sigmoid", m.add("Mul", "x", m.const(1.702)))))
    assert "silu" not in [n.act.kind for n in graph.nodes if n.act]


def test_arithmetic_on_constants_and_shapes_is_done_at_compile_time():
    m = Model({"x": (2, 3, 4)})
    shape = m.add("Shape", "x")
    rows = m.add("Gather", shape, m.const([0], np.int64))
    target = m.add(
        "Concat", rows, m.add("Mul", m.const([6], np.int64), m.const([2], np.int64)), axis=0
    )
    graph = _graph(m, m.add("Reshape", "x", target), simplify=False)
    assert _ops(graph) == ["Reshape"]
    assert graph.tensors[graph.outputs[0]].shape == (2, 12)


def test_nodes_without_an_npu_form_say_why():
    m = Model({"x": IMAGE})
    graph = _graph(m, m.add("CumSum", "x", m.const(1, np.int64)))
    assert graph.nodes[0].reason == "operator CumSum is not on the NPU"
    m = Model({"x": IMAGE, "w": (4, 6, 1, 1)})
    graph = _graph(m, m.add("Conv", "x", "w"))
    assert graph.nodes[0].reason == "operator Conv: the weight is computed at run time"


def test_integer_tensors_stay_on_the_cpu():
    m = Model({"x": IMAGE})
    graph = _graph(
        m, m.add("Cast", m.add("Add", m.add("Cast", "x", to=6), m.const(1, np.int32)), to=1)
    )
    assert all(node.reason for node in graph.nodes)


def test_dead_nodes_are_dropped():
    m = Model({"x": IMAGE})
    m.conv("x", (4, 6, 1, 1))
    graph = _graph(m, m.add("Relu", "x"), simplify=False)
    assert _ops(graph) == ["Activation"]
