"""Nodes become canonical, or say why they stay on the CPU."""

import numpy as np

from maccel_aio.compiler.partition import partition
from tests.compiler.onnx_models import Model
from tests.compiler.passes.graphs import IMAGE, passed


def test_nodes_without_an_npu_form_say_why():
    m = Model({"x": IMAGE})
    graph = passed(m, m.add("CumSum", "x", m.const(1, np.int64)))
    assert graph.nodes[0].reason == "operator CumSum is not on the NPU"
    m = Model({"x": IMAGE, "w": (4, 6, 1, 1)})
    graph = passed(m, m.add("Conv", "x", "w"))
    assert graph.nodes[0].reason == "operator Conv: the weight is computed at run time"


def test_integers_are_computed_on_the_cpu():
    m = Model({"x": IMAGE})
    graph = passed(
        m, m.add("Cast", m.add("Add", m.add("Cast", "x", to=6), m.const(1, np.int32)), to=1)
    )
    assert [bool(node.reason) for node in graph.nodes] == [True, True, False]
    assert all(not segment.on_npu for segment in partition(graph))
