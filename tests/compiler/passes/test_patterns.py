"""Functions that are spelled out in several nodes."""

import pytest

from tests.compiler.onnx_models import Model
from tests.compiler.passes.graphs import IMAGE, passed


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
    graph = passed(m, build(m))
    assert [(n.op, n.act.kind if n.act else "") for n in graph.nodes] == [("Activation", kind)]


def test_what_only_resembles_a_function_is_left_alone():
    m = Model({"x": IMAGE})
    graph = passed(m, m.add("Mul", "x", m.add("Sigmoid", m.add("Mul", "x", m.const(1.702)))))
    assert "silu" not in [n.act.kind for n in graph.nodes if n.act]


@pytest.mark.parametrize("bound", [14.0, 20.0, 110.0, 2000.0])
def test_a_function_with_a_bound_far_out_is_not_taken_for_one_without(bound):
    m = Model({"x": IMAGE})
    silu = m.add("Mul", "x", m.add("Sigmoid", "x"))
    graph = passed(m, m.add("Min", silu, m.const(bound)))
    assert [n.op for n in graph.nodes] == ["Activation", "Min"]
