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


def test_a_pad_that_moves_the_image_without_changing_its_size_is_kept():
    m = Model({"x": (1, 2, 5, 5)})
    moved = m.add("Pad", "x", m.const([0, 0, 1, 0, 0, 0, -1, 0], np.int64))
    still = m.add("Pad", moved, m.const([0] * 8, np.int64))
    graph = passed(m, m.add("Relu", still), simplify=False)
    assert ops(graph) == ["Pad", "Activation"]
    assert graph.nodes[0].reason == "operator Pad: negative padding"
