"""What is computed at compile time."""

import numpy as np

from tests.compiler.onnx_models import Model
from tests.compiler.passes.graphs import ops, passed


def test_arithmetic_on_constants_and_shapes_is_done_at_compile_time():
    m = Model({"x": (2, 3, 4)})
    shape = m.add("Shape", "x")
    rows = m.add("Gather", shape, m.const([0], np.int64))
    target = m.add(
        "Concat", rows, m.add("Mul", m.const([6], np.int64), m.const([2], np.int64)), axis=0
    )
    graph = passed(m, m.add("Reshape", "x", target), simplify=False)
    assert ops(graph) == ["Reshape"]
    assert graph.tensors[graph.outputs[0]].shape == (2, 12)
