"""Pointwise operators in canonical form."""

import pytest

from maccel_aio.compiler.ir import Activation
from maccel_aio.compiler.pointwise import FLOAT_MAX
from tests.compiler.onnx_models import Model
from tests.compiler.passes.graphs import IMAGE, passed


@pytest.mark.parametrize(
    ("op", "attrs", "act"),
    [
        ("Relu", {}, Activation("clamp", 0.0, FLOAT_MAX)),
        ("LeakyRelu", {"alpha": 0.25}, Activation("leaky", 0.25)),
        ("HardSigmoid", {"alpha": 0.25, "beta": 0.5}, Activation("hardsigmoid", 0.25, 0.5)),
        ("Clip", {}, Activation("clamp", -FLOAT_MAX, FLOAT_MAX)),
    ],
)
def test_parameters_are_those_of_onnx(op, attrs, act):
    m = Model({"x": IMAGE})
    assert passed(m, m.add(op, "x", **attrs)).nodes[0].act == act


def test_a_slope_for_all_channels_is_leaky():
    m = Model({"x": IMAGE})
    graph = passed(m, m.add("PRelu", "x", m.const([[[0.5]]])))
    assert graph.nodes[0].act == Activation("leaky", 0.5)


def test_a_slope_per_pixel_needs_the_cpu():
    m = Model({"x": IMAGE})
    (node,) = passed(m, m.add("PRelu", "x", m.random(9, 11))).nodes
    assert "a slope of shape (9, 11)" in node.reason


def test_common_powers_are_functions():
    for exponent, kind in ((2.0, "square"), (0.5, "sqrt"), (-1.0, "reciprocal")):
        m = Model({"x": IMAGE})
        act = passed(m, m.add("Pow", "x", m.const([exponent]))).nodes[0].act
        assert act is not None
        assert act.kind == kind


def test_an_exponent_that_adds_dimensions_stays_an_operand():
    m = Model({"x": (3,)})
    graph = passed(m, m.add("Pow", "x", m.const([[[2.0]]])))
    assert [n.op for n in graph.nodes] == ["Pow"]
    assert graph.tensors[graph.outputs[0]].shape == (1, 1, 3)
