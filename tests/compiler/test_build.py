"""Files from graphs whose formats are settled."""

import numpy as np

from maccel_aio.compiler.build import build, current, pixel_table
from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.ir import Graph, TensorQuant
from maccel_aio.compiler.numeric import quantise_graph
from maccel_aio.compiler.partition import partition
from maccel_aio.compiler.passes import run_passes
from maccel_aio.compiler.preprocess import Preprocess
from tests.compiler.device import File
from tests.compiler.onnx_models import Model


def _graph() -> tuple[Model, Graph]:
    """A convolution, and a sum of it and itself convolved: it needs an 8-bit copy."""
    m = Model({"x": (1, 3, 16, 20)})
    t = m.add("Relu", m.conv("x", (16, 3, 3, 3), pads=[1] * 4))
    graph = import_model(m.build(m.add("Add", m.conv(t, (16, 16, 1, 1)), t)))
    run_passes(graph)
    return m, graph


def test_the_pixel_table_holds_the_code_of_every_pixel():
    _, graph = _graph()
    graph.tensors["x"].quant = TensorQuant("u8", 1 / 128, 127)
    table = pixel_table(graph, "x", Preprocess((127.0,) * 3, (128.0,) * 3))
    np.testing.assert_array_equal(table, np.tile(np.arange(256), (3, 1)))


def test_a_file_holds_the_copies_that_quantisation_put_between_the_nodes():
    m, graph = _graph()
    segments = partition(graph)
    numbers = quantise_graph(graph, m.feed(4), on_npu=lambda node: not node.reason)
    before = {id(node) for segment in segments for node in segment.nodes}
    after = [node for segment in segments for node in current(graph, segment).nodes]
    assert [node.op for node in after if id(node) not in before] == ["Activation"]
    built = build(graph, segments, numbers, "int8")
    assert len(built.rows) == len(after)
    feed = {name: value[0] for name, value in m.feed(4).items()}
    (found,) = File(built.data).run(feed)
    assert np.isfinite(found).all()
    assert found.any()
