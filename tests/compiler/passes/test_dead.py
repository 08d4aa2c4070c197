"""Nodes whose results nobody reads go, with all that only they read."""

from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.passes.dead import drop_dead
from tests.compiler.onnx_models import Model


def test_a_chain_without_a_reader_goes_and_order_stays():
    m, x = Model({"x": (2, 3)}), "x"
    m.add("Exp", m.add("Sqrt", x))
    y = m.add("Abs", m.add("Neg", x))
    graph = import_model(m.build(y), simplify=False)
    wanted = {y}
    for node in reversed(graph.nodes):
        if node.output in wanted:
            wanted.update(node.inputs)
    kept = [node for node in graph.nodes if node.output in wanted]
    assert len(kept) == len(graph.nodes) - 2
    drop_dead(graph)
    assert [id(node) for node in graph.nodes] == [id(node) for node in kept]


def test_what_is_an_output_stays_without_a_reader():
    m, x = Model({"x": (2, 3)}), "x"
    first, second = m.add("Neg", x), m.add("Exp", x)
    graph = import_model(m.build(first, second), simplify=False)
    before = list(graph.nodes)
    drop_dead(graph)
    assert graph.nodes == before
