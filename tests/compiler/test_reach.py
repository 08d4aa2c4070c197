"""Which tensors end in float wherever they go."""

from maccel_aio.compiler.ir import Graph, Node
from maccel_aio.compiler.reach import float_bound
from tests.compiler.graphs import Builder


def softmax_reads(node: Node, name: str) -> bool:
    return node.op == "Softmax"


def bound(graph: Graph) -> frozenset[str]:
    return float_bound(graph, graph.consumers(), softmax_reads)


def test_a_mask_that_only_meets_scores_is_float() -> None:
    b = Builder((1, 4, 8, 8))
    scores = b.conv("x", 4)
    mask = b.add("Mul", ["x", "x"], (1, 4, 8, 8))
    added = b.add("Add", [scores, mask], (1, 4, 8, 8))
    graph = b.graph(b.add("Softmax", [added], (1, 4, 8, 8), axis=3))
    assert {mask, added, scores} <= bound(graph)
    assert "x" not in bound(graph)  # the convolution reads it, too


def test_one_integer_reader_is_enough_to_stay_integer() -> None:
    b = Builder((1, 4, 8, 8))
    shared = b.add("Add", ["x", "x"], (1, 4, 8, 8))
    soft = b.add("Softmax", [shared], (1, 4, 8, 8), axis=3)
    other = b.conv(shared, 3)
    assert shared not in bound(b.graph(soft, other))


def test_parts_are_bound_when_all_of_them_are() -> None:
    b = Builder((1, 4, 8, 8))
    joined = b.add("Concat", ["x", "x"], (1, 8, 8, 8), axis=1)
    soft = b.add("Softmax", [joined], (1, 8, 8, 8), axis=3)
    assert {joined, "x"} <= bound(b.graph(soft))


def test_outputs_end_in_float_as_sequences_but_not_as_images() -> None:
    for shape, wanted in (((1, 8, 16), True), ((1, 2, 8, 8), False)):
        b = Builder(shape)
        out = b.add("Mul", ["x", "x"], shape)
        assert ({"x", out} <= bound(b.graph(out))) is wanted


def test_what_nobody_reads_is_not_bound() -> None:
    b = Builder((1, 8))
    unread = b.add("Mul", ["x", "x"], (1, 8))
    soft = b.add("Softmax", ["x"], (1, 8), axis=1)
    assert unread not in bound(b.graph(soft))
