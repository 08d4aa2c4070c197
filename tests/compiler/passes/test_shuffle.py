"""Channel shuffles become the order of a convolution's outputs."""

import numpy as np
import pytest

from maccel_aio.compiler.precision import macs
from tests.compiler.families.harness import check_float
from tests.compiler.onnx_models import Model
from tests.compiler.passes.graphs import ops, passed

SHAPE = (1, 12, 5, 4)


def _shuffled(m: Model, x: str, ways: int, channels: int) -> str:
    parts = np.array([1, ways, channels // ways, *SHAPE[2:]], np.int64)
    split = m.add("Reshape", x, m.const(parts))
    swapped = m.add("Transpose", split, perm=[0, 2, 1, 3, 4])
    return str(m.add("Reshape", swapped, m.const(np.array([1, channels, *SHAPE[2:]], np.int64))))


@pytest.mark.parametrize(("group", "ways"), [(1, 3), (2, 2), (4, 4), (4, 2)])
def test_a_shuffle_is_folded_and_keeps_the_value(group, ways):
    m = Model({"x": SHAPE})
    made = m.add("Relu", m.conv("x", (24, 12 // group, 1, 1), group=group))
    out = m.add("Relu", m.conv(_shuffled(m, made, ways, 24), (24, 1, 3, 3), group=24))
    graph = passed(m, out, simplify=False)
    assert ops(graph) == ["Conv", "Conv"]
    assert (graph.nodes[0].attrs["group"], graph.nodes[0].attrs["blocks"]) == (1, group)
    assert macs(graph, graph.nodes[0]) == 24 * 12 // group * SHAPE[2] * SHAPE[3]
    check_float(m, out)


def test_many_groups_keep_their_shuffle():
    m = Model({"x": SHAPE})
    out = _shuffled(m, m.conv("x", (24, 2, 1, 1), group=6), 6, 24)
    assert "Transpose" in ops(passed(m, out, simplify=False))
    check_float(m, out)


def test_a_convolution_with_another_reader_keeps_its_order():
    m = Model({"x": SHAPE})
    made = m.conv("x", (24, 12, 1, 1))
    graph = passed(m, _shuffled(m, made, 4, 24), m.add("Relu", made), simplify=False)
    assert "Transpose" in ops(graph)
