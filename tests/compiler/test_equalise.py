"""Equalisation: it changes no float result, needs proof on other pictures, and helps."""

import copy

import numpy as np
import pytest

from maccel_aio.compiler.calibration import TensorStats
from maccel_aio.compiler.equalise import equalise
from maccel_aio.compiler.ir import Activation, Graph, Node
from maccel_aio.compiler.links import find_links
from maccel_aio.compiler.precision import PrecisionOptions
from maccel_aio.compiler.quantize import QuantizeOptions, quantise
from maccel_aio.compiler.report import sqnr_db
from tests.compiler.evaluator import Evaluator
from tests.compiler.graphs import RELU, Builder, feeds, statistics, weights_of

RELU6 = Activation("clamp", 0.0, 6.0)
FLT_MAX_RELU = Activation("clamp", 0.0, float(np.finfo(np.float32).max))


def everywhere(node: Node) -> bool:
    return True


def uneven(act: Activation | None, *, group: int = 1, spread: float = 40.0) -> tuple[Graph, str]:
    """Two layers whose common tensor has channels of very different size."""
    b = Builder((1, 8, 10, 10))
    middle = b.conv("x", 16, act=act)
    weights_of(b.nodes[0]).kernel *= np.geomspace(1 / spread, 1, 16)[:, None, None, None].astype(
        "f4"
    )
    weights_of(b.nodes[0]).bias *= np.geomspace(1 / spread, 1, 16).astype("f4")
    out = b.conv(middle, 16 if group > 1 else 6, kernel=3, group=group)
    wanted = np.geomspace(spread, 1, 16).astype("f4")
    if group == 1:
        weights_of(b.nodes[1]).kernel *= wanted[None, :, None, None]
    return b.graph(out), out


def observed(graph: Graph, count: int) -> dict[str, TensorStats]:
    samples = feeds(graph, count)
    stats = statistics(graph, samples)
    for sample in samples:
        for name, value in Evaluator(graph).run(sample).items():
            stats[name].keep_rows(value)
    return stats


@pytest.mark.parametrize("act", [None, RELU, FLT_MAX_RELU, Activation("leaky", 0.1), RELU6])
def test_it_helps_where_channels_differ(act: Activation | None) -> None:
    graph, out = uneven(act)
    sample = feeds(graph, 1, seed=99)[0]
    exact = Evaluator(graph).run(sample)[out]
    plain = copy.deepcopy(graph)
    stats = observed(graph, 12)
    quantise(plain, stats, on_npu=everywhere)
    links = find_links(graph, everywhere, PrecisionOptions())
    scaled = equalise(graph, links, stats, 12)
    assert list(scaled) == ["t0"]
    quantise(graph, stats, on_npu=everywhere)
    before = sqnr_db(exact, Evaluator(plain).run(sample)[out])
    after = sqnr_db(exact, Evaluator(graph).run(sample)[out])
    assert after > before + 3


def test_the_float_graph_computes_the_same_and_holds_scaled_values() -> None:
    graph, out = uneven(RELU)
    sample = feeds(graph, 1, seed=5)[0]
    exact = Evaluator(graph).run(sample)
    stats = observed(graph, 12)
    top = stats["t0"].high
    scaled = equalise(graph, find_links(graph, everywhere, PrecisionOptions()), stats, 12)
    after = Evaluator(graph).run(sample)
    np.testing.assert_allclose(after[out], exact[out], rtol=1e-3, atol=1e-3)
    back = after["t0"] * scaled["t0"][None, :, None, None]
    np.testing.assert_allclose(back, exact["t0"], rtol=1e-4, atol=1e-5)
    assert scaled["t0"].max() == 1.0
    assert stats["t0"].high >= top - 1e-6


def test_what_the_activation_cuts_off_stays_cut_off_in_16_bits() -> None:
    graph, out = uneven(RELU6)
    weights_of(graph.nodes[0]).kernel *= 8
    exact = [Evaluator(graph).run(sample)[out] for sample in feeds(graph, 3, seed=99)]
    stats = observed(graph, 12)
    assert stats["t0"].high == 6.0
    assert equalise(graph, find_links(graph, everywhere, PrecisionOptions()), stats, 12)
    options = QuantizeOptions(PrecisionOptions(storage={"t0": "s16"}))
    quantise(graph, stats, on_npu=everywhere, options=options)
    for sample, wanted in zip(feeds(graph, 3, seed=99), exact, strict=True):
        assert sqnr_db(wanted, Evaluator(graph).run(sample)[out]) > 40


def test_even_channels_are_left_alone() -> None:
    b = Builder((1, 8, 10, 10))
    out = b.conv(b.conv("x", 16, act=RELU), 6, kernel=3)
    graph = b.graph(out)
    stats = observed(graph, 12)
    assert not equalise(graph, find_links(graph, everywhere, PrecisionOptions()), stats, 12)


def test_few_pictures_prove_nothing() -> None:
    graph, _ = uneven(RELU)
    stats = observed(graph, 6)
    assert not equalise(graph, find_links(graph, everywhere, PrecisionOptions()), stats, 6)


def test_depthwise_readers_are_scaled_by_channel() -> None:
    graph, out = uneven(RELU, group=16)
    sample = feeds(graph, 1, seed=5)[0]
    exact = Evaluator(graph).run(sample)[out]
    stats = observed(graph, 12)
    weights_of(graph.nodes[1]).kernel *= np.geomspace(40, 1, 16)[:, None, None, None].astype("f4")
    exact = Evaluator(graph).run(sample)[out]
    scaled = equalise(graph, find_links(graph, everywhere, PrecisionOptions()), stats, 12)
    assert scaled
    np.testing.assert_allclose(Evaluator(graph).run(sample)[out], exact, rtol=1e-3, atol=1e-3)


def test_a_residual_stream_is_scaled_as_one() -> None:
    b = Builder((1, 8, 10, 10))
    wide = np.geomspace(0.02, 1, 8).astype("f4")
    stem = b.conv("x", 8)
    stream = b.conv(b.conv(stem, 8, act=RELU), 8, residual=stem)
    out = b.conv(stream, 6)
    for node in (b.nodes[0], b.nodes[2]):
        weights_of(node).kernel *= wide[:, None, None, None]
        weights_of(node).bias *= wide
    for node in (b.nodes[1], b.nodes[3]):
        weights_of(node).kernel *= (1 / wide)[None, :, None, None]
    graph = b.graph(out)
    sample = feeds(graph, 1, seed=99)[0]
    exact = Evaluator(graph).run(sample)[out]
    plain, stats = copy.deepcopy(graph), observed(graph, 12)
    quantise(plain, stats, on_npu=everywhere)
    scaled = equalise(graph, find_links(graph, everywhere, PrecisionOptions()), stats, 12)
    np.testing.assert_array_equal(scaled[stem], scaled[stream])
    quantise(graph, stats, on_npu=everywhere)
    before = sqnr_db(exact, Evaluator(plain).run(sample)[out])
    assert sqnr_db(exact, Evaluator(graph).run(sample)[out]) > before + 3


def test_several_readers_are_all_scaled() -> None:
    b = Builder((1, 8, 10, 10))
    middle = b.conv("x", 8, act=RELU)
    weights_of(b.nodes[0]).kernel *= np.geomspace(0.02, 1, 8)[:, None, None, None].astype("f4")
    weights_of(b.nodes[0]).bias *= np.geomspace(0.02, 1, 8).astype("f4")
    one, other = b.conv(middle, 4), b.conv(middle, 4, kernel=3)
    for node in b.nodes[1:]:
        weights_of(node).kernel *= np.geomspace(50, 1, 8)[None, :, None, None].astype("f4")
    graph = b.graph(one, other)
    sample = feeds(graph, 1, seed=5)[0]
    exact = Evaluator(graph).run(sample)
    stats = observed(graph, 12)
    assert equalise(graph, find_links(graph, everywhere, PrecisionOptions()), stats, 12)
    after = Evaluator(graph).run(sample)
    for name in (one, other):
        np.testing.assert_allclose(after[name], exact[name], rtol=1e-3, atol=1e-3)
