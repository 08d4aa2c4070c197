"""What the rules share."""

import numpy as np
import pytest

from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.passes.rules import (
    Unsupported,
    axis_of,
    check_float,
    const_input,
    ints,
    opset,
    shape_of,
)
from tests.compiler.onnx_models import Model


def _graph():
    m = Model({"x": (2, 3)})
    return import_model(m.build(m.add("ReduceSum", "x", m.const([-1], np.int64))), simplify=False)


def test_lists_come_from_attributes_or_inputs():
    graph = _graph()
    (node,) = graph.nodes
    assert ints(graph, node, "axes", 1) == [-1]
    node.attrs["axes"] = [0]
    assert ints(graph, node, "axes", 1) == [0]
    assert const_input(graph, node, 5, "nothing") is None
    assert opset(graph) == 17


def test_what_is_computed_at_run_time_is_no_constant():
    graph = _graph()
    with pytest.raises(Unsupported, match="the weight is computed at run time"):
        const_input(graph, graph.nodes[0], 0, "the weight")


def test_axes_count_from_the_end():
    assert [axis_of(a, 4) for a in (-1, 0, 3)] == [3, 0, 3]


@pytest.mark.parametrize(
    ("shape", "dtype", "why"),
    [
        (None, np.float32, "not static"),
        ((2, 0), np.float32, "empty"),
        ((2,), np.int64, "type int64"),
        ((1,) * 7, np.float32, "more than 6 dimensions"),
    ],
)
def test_tensors_that_the_npu_does_not_have_are_named(shape, dtype, why):
    graph = _graph()
    tensor = graph.tensors["x"]
    tensor.shape, tensor.dtype = shape, np.dtype(dtype)
    with pytest.raises(Unsupported, match=why):
        check_float(graph, graph.nodes[0])
    assert shape_of(graph, graph.outputs[0]) == (2, 1)
