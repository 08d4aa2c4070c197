"""Memory orders: what images want, what follows, and which dimension is the channels."""

from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.layout import assign_orders, channel_axes, channels_last
from maccel_aio.compiler.passes import run_passes
from tests.compiler.onnx_models import Model


def _graph(m: Model, *outputs: str):
    graph = import_model(m.build(*outputs))
    run_passes(graph)
    return graph, assign_orders(graph, graph.nodes, graph.inputs)


def test_images_are_channels_last():
    assert channels_last(4) == (0, 2, 3, 1)
    assert channels_last(3) == (0, 2, 1)


def test_an_input_takes_the_order_of_its_first_image_reader():
    m = Model({"x": (1, 3, 8, 8)})
    _, orders = _graph(m, m.conv(m.add("Mul", m.add("Exp", "x"), m.random(3, 1, 1)), (4, 3, 1, 1)))
    assert set(orders.values()) == {(0, 2, 3, 1)}


def test_an_input_without_image_readers_is_row_major():
    m = Model({"x": (2, 5, 6)})
    _, orders = _graph(m, m.add("MatMul", "x", m.random(6, 3)))
    assert orders["x"] == (0, 1, 2)


def test_a_transpose_renames_dimensions():
    m = Model({"x": (1, 3, 8, 8)})
    out = m.add("Transpose", m.conv("x", (4, 3, 1, 1)), perm=[0, 2, 3, 1])
    _, orders = _graph(m, out)
    assert orders[out] == (0, 1, 2, 3)


def test_a_reshape_that_is_a_view_keeps_the_order_of_memory():
    m = Model({"x": (1, 3, 8, 6)})
    out = m.add("Reshape", m.conv("x", (4, 3, 1, 1)), m.const([1, 2, 2, 48], "int64"))
    _, orders = _graph(m, out)
    assert orders[out] == (0, 3, 1, 2)


def test_channels_are_followed_through_the_graph():
    m = Model({"x": (1, 8, 8, 3), "y": (1, 4, 8, 8)})
    conv = m.conv(m.add("Transpose", "x", perm=[0, 3, 1, 2]), (4, 3, 1, 1))
    total = m.add("Add", conv, "y")
    back = m.add("Transpose", total, perm=[0, 2, 3, 1])
    table = m.add("Reshape", total, m.const([1, 2, 2, 64], "int64"))
    graph, _ = _graph(m, back, table)
    axes = channel_axes(graph)
    assert axes["x"] == 3
    assert axes["y"] == 1
    assert axes[back] == 3
    assert table not in axes


def test_an_image_input_without_convolutions_is_known_by_its_channels():
    for shape, axis in (((1, 3, 8, 8), 1), ((1, 8, 8, 3), 3), ((1, 8, 8, 8), None)):
        m = Model({"x": shape})
        graph, _ = _graph(m, m.add("Exp", "x"))
        assert channel_axes(graph).get("x") == axis
