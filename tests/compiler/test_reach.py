"""Which tensors end in float wherever they go."""

from maccel_aio.compiler.ir import Activation, Graph, Node
from maccel_aio.compiler.precision import choose
from maccel_aio.compiler.reach import float_bound, front_ends
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


def spectrum(share: int = 1) -> tuple[Builder, list[str]]:
    """Filters, their power, its logarithm, and a network on that."""
    b = Builder((1, 2, 8, 8))
    low = b.conv("x", 2)
    filtered = b.conv(low, 4 * share, kernel=7)
    power = b.add("Mul", [filtered, filtered], (1, 4 * share, 8, 8))
    loud = b.add("Activation", [power], (1, 4 * share, 8, 8), act=Activation("log"))
    wide = b.conv(loud, 32, kernel=3)
    return b, [low, filtered, wide, b.conv(wide, 8, kernel=3)]


def test_filters_in_front_of_a_logarithm_are_front_ends() -> None:
    b, (low, filtered, _, last) = spectrum()
    graph = b.graph(last)
    assert front_ends(graph, graph.consumers()) == {low, filtered}


def test_a_filter_that_is_read_elsewhere_is_none() -> None:
    b, (low, filtered, _, last) = spectrum()
    graph = b.graph(last, b.conv(low, 3))
    assert front_ends(graph, graph.consumers()) == {filtered}
    also_out = b.graph(last, filtered)
    assert front_ends(also_out, also_out.consumers()) == frozenset()


def test_front_ends_are_float_as_long_as_they_are_small() -> None:
    for share, wanted in ((1, "f32"), (16, "u8")):
        b, (low, filtered, wide, last) = spectrum(share)
        groups = choose(b.graph(last), lambda _: True)
        found = {name: group.dtype for group in groups for name in group.members}
        assert found[low] == found["x"] == wanted
        assert found[filtered] == "f32"
        assert found[wide] == "u8"
