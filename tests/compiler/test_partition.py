"""Segments: as few as the order allows, and nothing that cannot pass between them."""

import numpy as np
import pytest

from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.partition import partition
from maccel_aio.compiler.passes import run_passes
from maccel_aio.errors import CompileError
from tests.compiler.onnx_models import Model

IMAGE = (1, 4, 6, 6)


def _segments(m: Model, *outputs: str):
    graph = import_model(m.build(*outputs))
    run_passes(graph)
    return graph, partition(graph)


def _host(m: Model, x: str) -> str:
    """Add a node that only the CPU has."""
    return str(m.add("CumSum", x, m.const(2, np.int64)))


def test_independent_branches_share_their_segments():
    m = Model({"x": IMAGE})
    heads = [m.conv(_host(m, m.conv("x", (4, 4, 1, 1))), (2, 4, 1, 1)) for _ in range(3)]
    _, segments = _segments(m, *heads)
    assert [s.name for s in segments] == ["npu0", "cpu0", "npu1"]
    assert [len(s.nodes) for s in segments] == [3, 3, 3]


def test_a_segment_names_what_comes_in_and_goes_out():
    m = Model({"x": IMAGE})
    first = m.conv("x", (4, 4, 1, 1))
    host = _host(m, first)
    out = m.conv(m.add("Add", m.add("Relu", host), first), (2, 4, 1, 1))
    _, (npu, cpu, last) = _segments(m, out)
    assert (npu.inputs, npu.outputs) == (("x",), (first,))
    assert (cpu.inputs, cpu.outputs) == ((first,), (host,))
    assert set(last.inputs) == {host, first}
    assert last.outputs == (out,)
    assert cpu.reason == "operator CumSum is not on the NPU"
    assert npu.reason == ""


def test_a_graph_of_views_alone_stays_on_the_npu():
    m = Model({"x": IMAGE})
    _, segments = _segments(m, m.add("Transpose", "x", perm=[0, 2, 3, 1]))
    assert [s.on_npu for s in segments] == [True]


def test_views_between_cpu_operators_do_not_make_a_bundle():
    m = Model({"x": IMAGE})
    t = m.add("Transpose", _host(m, "x"), perm=[0, 1, 3, 2])
    _, segments = _segments(m, _host(m, t))
    assert [s.name for s in segments] == ["cpu0"]
    assert "only joins operators on the CPU" in segments[0].reason


def test_values_without_static_shape_never_pass_between_segments():
    m = Model({"x": IMAGE})
    found = m.add("NonZero", m.conv("x", (4, 4, 1, 1)))
    size = m.add("Cast", m.add("ReduceSum", m.add("Shape", found)), to=1)
    scaled = m.add("Exp", size)
    count = m.add("Cast", m.add("Reshape", scaled, m.const([1], np.int64)), to=7)
    last = m.add("Cast", m.add("Slice", found, m.const([0], np.int64), count, m.const([1], np.int64)), to=1)  # fmt: skip  # noqa: E501
    graph, segments = _segments(m, m.add("ReduceSum", last, keepdims=0))
    assert [s.on_npu for s in segments] == [True, False]
    for segment in segments:
        assert all(graph.tensors[name].shape is not None for name in segment.outputs)


def test_a_bundle_with_more_ends_than_a_program_may_have_goes_to_the_cpu():
    m = Model({f"x{k}": (1, 2, 3, 3) for k in range(32)})
    _, segments = _segments(m, m.add("Concat", *m.inputs, axis=1))
    assert [s.on_npu for s in segments] == [False]
    assert "33 inputs and outputs, a program 32 at most" in segments[0].reason
    few = Model({f"x{k}": (1, 2, 3, 3) for k in range(31)})
    _, segments = _segments(few, few.add("Concat", *few.inputs, axis=1))
    assert [s.on_npu for s in segments] == [True]


def test_a_value_that_nothing_computes_is_named():
    m = Model({"x": IMAGE})
    graph = import_model(m.build(m.conv(m.add("Relu", "x"), (4, 4, 1, 1))), simplify=False)
    run_passes(graph)
    lost = graph.nodes.pop(0)
    with pytest.raises(CompileError, match=f"reads '{lost.output}', which nothing computes"):
        partition(graph)


def test_tensors_of_the_model_come_in_its_own_order():
    m = Model({"x": IMAGE, "z": IMAGE})
    late = m.conv("z", (2, 4, 1, 1))
    early = m.conv("x", (3, 4, 1, 1))
    _, (npu,) = _segments(m, early, late)
    assert (npu.inputs, npu.outputs) == (("x", "z"), (early, late))
