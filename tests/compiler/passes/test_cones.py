"""Cones hold all that lies between two tensors, and nothing else."""

from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.ir import Graph, Node
from maccel_aio.compiler.passes.cones import Cone, Growth, rewrite_cones
from tests.compiler.onnx_models import Model

OPS = ("Add", "Sub", "Mul", "Div")


def found(graph: Graph, growth: Growth) -> dict[str, list[Cone]]:
    """Return the cones of each root by the name of its result."""
    seen: dict[str, list[Cone]] = {}
    rewrite_cones(graph, growth, lambda _, root, cones: seen.update({root.output: cones}))
    return seen


def growth(most: int = 8, belongs: str = "AddSubMulDiv") -> Growth:
    return Growth(OPS, lambda _, node, __: node.op in belongs, lambda shape: (shape,), most)


def diamond() -> tuple[Model, list[str]]:
    """x -> a -> (b, c) -> d: two ways from a to d."""
    m, x = Model({"x": (2, 3)}), "x"
    a = m.add("Mul", x, m.const(2.0))
    b, c = m.add("Add", a, m.const(3.0)), m.add("Sub", a, m.const(1.0))
    return m, [x, a, b, c, m.add("Mul", b, c)]


def test_a_cone_needs_a_single_source():
    m, (x, a, b, c, d) = diamond()
    cones = found(import_model(m.build(d), simplify=False), growth())[d]
    assert [cone.source for cone in cones] == [a, x]
    assert [node.output for node in cones[0].nodes] == [b, c, d]
    assert [node.output for node in cones[1].nodes] == [a, b, c, d]


def test_a_cone_ends_at_what_does_not_belong():
    m, x = Model({"x": (2, 3)}), "x"
    y = m.add("Add", m.add("Exp", m.add("Mul", x, m.const(2.0))), m.const(1.0))
    cones = found(import_model(m.build(y), simplify=False), growth())[y]
    assert [len(cone.nodes) for cone in cones] == [1]


def test_a_cone_ends_where_shapes_change():
    m, x = Model({"x": (2, 3), "z": (1, 3)}), "x"
    y = m.add("Mul", m.add("Add", "z", m.const(1.0)), x)
    assert found(import_model(m.build(y), simplify=False), growth())[y] == []


def test_a_cone_has_so_many_nodes_at_most():
    m, y = Model({"x": (2, 3)}), "x"
    for _ in range(5):
        y = m.add("Add", y, m.const(1.0))
    cones = found(import_model(m.build(y), simplify=False), growth(most=3))[y]
    assert [len(cone.nodes) for cone in cones] == [1, 2, 3]


def test_roots_come_last_first_and_the_dead_go():
    m, (x, _, _, _, d) = diamond()
    graph = import_model(m.build(d), simplify=False)
    order: list[str] = []

    def shorten(_: Graph, root: Node, __: list[Cone]) -> None:
        order.append(root.output)
        if root.output == d:
            root.inputs = [x, x]

    whole = [node.output for node in graph.nodes if node.op in OPS]
    rewrite_cones(graph, growth(), shorten)
    assert order == whole[::-1]
    assert [node.output for node in graph.nodes if node.op in OPS] == [d]


def test_names_are_those_of_all_nodes():
    m, (_, _, _, _, d) = diamond()
    graph = import_model(m.build(d), simplify=False)
    cone = found(graph, growth())[d][-1]
    assert sorted(cone.names) == sorted(
        name for node in graph.nodes if node.op in OPS for name in node.source
    )
