"""Pools and reductions in canonical form."""

from tests.compiler.onnx_models import Model
from tests.compiler.passes.graphs import IMAGE, passed


def test_ceil_mode_becomes_padding():
    m = Model({"x": IMAGE})
    out = m.add("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    assert passed(m, out).nodes[0].attrs["pads"] == (0, 0, 1, 1)


def test_a_global_pool_has_the_kernel_of_the_image():
    m = Model({"x": IMAGE})
    (node,) = passed(m, m.add("GlobalAveragePool", "x")).nodes
    assert (node.op, node.attrs["kernel"]) == ("AveragePool", (9, 11))


def test_axes_of_a_reduction_are_sorted_and_positive():
    m = Model({"x": IMAGE})
    (node,) = passed(m, m.add("ReduceMax", "x", axes=[-1, 1], keepdims=0)).nodes
    assert node.attrs == {"kind": "max", "axes": (1, 3), "keepdims": False}


def test_indices_of_maxima_need_the_cpu():
    m = Model({"x": IMAGE})
    outs = m.add("MaxPool", "x", kernel_shape=[2, 2], outputs=2)
    graph = passed(m, outs[0], m.add("Cast", outs[1], to=1))
    assert "MaxPool" in graph.nodes[0].reason


def test_indices_that_nobody_reads_keep_nothing_on_the_cpu():
    m = Model({"x": IMAGE})
    top, _ = m.add("MaxPool", "x", kernel_shape=[2, 2], outputs=2)
    (node,) = passed(m, top).nodes
    assert (node.reason, node.outputs) == ("", [top])
