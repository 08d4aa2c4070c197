"""The first and last layers of a model, and that they can have 16 bits."""

import numpy as np
import pytest

from maccel_aio.compiler.edges import first_tensors, last_tensors
from maccel_aio.compiler.ir import Activation, CompileError, Graph, Node
from maccel_aio.compiler.precision import WEIGHTED, PrecisionOptions, choose
from maccel_aio.compiler.quantize import QuantizeOptions, quantise
from maccel_aio.compiler.report import sqnr_db
from tests.compiler.evaluator import Evaluator
from tests.compiler.graphs import RELU, Builder, feeds, statistics


def everywhere(node: Node) -> bool:
    return True


def chain() -> tuple[Graph, list[str]]:
    """Return four layers, with a function before the last."""
    b = Builder((1, 4, 8, 8))
    names = [b.conv("x", 8, act=RELU)]
    names.append(b.conv(names[-1], 8, kernel=3, group=8, act=RELU))
    names.append(b.conv(names[-1], 32, act=RELU))
    leaky = Activation("leaky", 0.2)
    names.append(b.add("Activation", [names[-1]], (1, 32, 8, 8), act=leaky))
    names.append(b.conv(names[-1], 16))
    names.append(b.add("Reshape", [names[-1]], (1, 16 * 64)))
    return b.graph(names[-1]), names


def wide(graph: Graph, options: PrecisionOptions) -> set[str]:
    groups = choose(graph, everywhere, options)
    return {name for group in groups if group.dtype == "s16" for name in group.members}


def test_depth_counts_layers_with_weights_on_the_longest_way() -> None:
    graph, names = chain()
    assert first_tensors(graph, 0, WEIGHTED) == frozenset()
    assert first_tensors(graph, 2, WEIGHTED) == set(names[:2])
    assert first_tensors(graph, 3, WEIGHTED) == set(names[:4])
    b = Builder((1, 4, 8, 8))
    near, far = b.conv("x", 4), b.conv(b.conv("x", 4), 4)
    both = b.add("Add", [near, far], (1, 4, 8, 8))
    assert first_tensors(b.graph(both), 1, WEIGHTED) == {near, "t1"}


def test_the_last_layers_are_those_without_another_one_behind() -> None:
    graph, names = chain()
    assert last_tensors(graph, WEIGHTED) == {names[3]}
    b = Builder((1, 4, 8, 8))
    stem = b.conv("x", 4)
    one, other = b.conv(stem, 4), b.conv(b.conv(stem, 4), 4)
    assert last_tensors(b.graph(one, other), WEIGHTED) == {stem, "t2"}


def test_wide_edges_leave_8_bits_where_they_have_little_work() -> None:
    graph, names = chain()
    assert wide(graph, PrecisionOptions()) == set()
    assert wide(graph, PrecisionOptions(wide_first=2, wide_share=1.0)) == set(names[:2])
    assert wide(graph, PrecisionOptions(wide_last=True, wide_share=1.0)) == {names[3]}
    # The depthwise layer alone has less than a tenth of the work.
    assert wide(graph, PrecisionOptions(wide_first=2, wide_share=0.1)) == {names[0]}
    assert wide(graph, PrecisionOptions(wide_first=2, wide_last=True, wide_share=0.0)) == set()


def test_a_sum_at_the_edge_needs_no_copy_in_8_bits() -> None:
    b = Builder((1, 4, 8, 8))
    stem = b.conv("x", 4)
    graph = b.graph(b.conv(b.conv(stem, 4, residual=stem), 4))
    eight = {name for group in choose(graph, everywhere) for name in group.eight}
    assert stem in eight
    options = PrecisionOptions(wide_first=1, wide_share=1.0)
    fewer = {name for group in choose(graph, everywhere, options) for name in group.eight}
    assert fewer == eight - {stem}


def test_wide_edges_lose_less() -> None:
    graph, names = chain()
    stats, sample = statistics(graph, feeds(graph, 8)), feeds(graph, 1, seed=9)[0]
    exact = Evaluator(graph).run(sample)[names[-1]]
    noise = []
    for first in (0, 3):
        again, _ = chain()
        options = QuantizeOptions(PrecisionOptions(wide_first=first, wide_share=1.0))
        quantise(again, stats, on_npu=everywhere, options=options)
        noise.append(sqnr_db(exact, np.asarray(Evaluator(again).run(sample)[names[-1]])))
    assert noise[1] > noise[0] + 6


@pytest.mark.parametrize("bad", [{"wide_first": -1}, {"wide_share": 1.5}, {"wide_share": -0.1}])
def test_numbers_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(CompileError, match="wide_"):
        PrecisionOptions(**bad)  # type: ignore[arg-type]
