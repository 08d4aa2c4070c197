"""``If``: decided when compiled, or left to a CPU segment."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.compiler.families.harness import assert_same, compiled, reference


def _branch(name, *nodes, output, weights=()):
    out = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    return helper.make_graph(list(nodes), name, [], [out], list(weights))


def _model(condition, branches, inputs=()):
    then, orelse = branches
    nodes = [
        helper.make_node("Exp", ["x"], ["e"]),
        *condition,
        helper.make_node("If", ["c"], ["r"], then_branch=then, else_branch=orelse),
        helper.make_node("Relu", ["r"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])
    four = numpy_helper.from_array(np.asarray(4, np.int64), "four")
    graph = helper.make_graph(nodes, "g", [x, *inputs], [y], [four])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _branches():
    half = numpy_helper.from_array(np.asarray(0.5, np.float32), "k")
    then = _branch("t", helper.make_node("Mul", ["e", "k"], ["v"]), output="v", weights=[half])
    inner = _branch("i", helper.make_node("Neg", ["e"], ["v"]), output="v")
    other = _branch("o", helper.make_node("Abs", ["x"], ["v"]), output="v")
    yes = helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("b", 9, [], [True]))
    nested = helper.make_node("If", ["yes"], ["v2"], then_branch=inner, else_branch=other)
    return then, _branch("e", yes, nested, output="v2")


FEED = {"x": np.random.default_rng(1).standard_normal((2, 3)).astype(np.float32)}


@pytest.mark.parametrize("op", ["Less", "Greater"])
@pytest.mark.parametrize("simplify", [True, False])
def test_a_condition_on_shapes_is_decided(op, simplify):
    condition = [
        helper.make_node("Size", ["x"], ["n"]),
        helper.make_node(op, ["n", "four"], ["c"]),
    ]
    model = _model(condition, _branches())
    found = compiled(model, precision="float32", simplify=simplify)
    assert found.on_cpu() == []
    assert_same(found.run(FEED), reference(model, FEED))


@pytest.mark.parametrize("value", [True, False])
def test_a_condition_of_the_run_goes_to_the_cpu(value):
    c = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    model = _model([], _branches(), inputs=[c])
    onnx.checker.check_model(model)
    found = compiled(model, precision="float32")
    assert found.on_cpu() == ["If"]
    feed = {**FEED, "c": np.asarray(value)}
    assert_same(found.run(feed), reference(model, feed))
