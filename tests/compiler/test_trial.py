"""Programs that differ in their formats, built, run and judged."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.ir import Graph, Node, QuantDtype
from maccel_aio.compiler.numeric import observe_graph
from maccel_aio.compiler.partition import Segment, partition
from maccel_aio.compiler.passes import run_passes
from maccel_aio.compiler.precision import PrecisionOptions
from maccel_aio.compiler.quantize import QuantizeOptions, quantise
from maccel_aio.compiler.report import sqnr_db
from maccel_aio.compiler.trial import Trials, fork, noise
from tests.compiler.onnx_models import Model


def on_npu(node: Node) -> bool:
    return not node.reason


def network(*, on_cpu: bool = False) -> tuple[Model, onnx.ModelProto]:
    """Convolutions with a residual, and perhaps an operator that runs on the CPU in the middle."""
    m = Model({"x": (1, 3, 10, 10)})
    t = m.add("Relu", m.conv("x", (8, 3, 3, 3), pads=[1] * 4))
    if on_cpu:
        t = m.add("CumSum", t, m.const(2, np.int64))
    t = m.add("Add", m.conv(t, (8, 8, 3, 3), pads=[1] * 4), t)
    return m, m.build(m.conv(t, (4, 8, 1, 1)))


def made(tmp_path: Path, *, on_cpu: bool = False) -> tuple[Trials, Graph, list[Segment]]:
    m, model = network(on_cpu=on_cpu)
    graph = import_model(model)
    run_passes(graph)
    segments = partition(graph)
    seen = observe_graph(graph, m.feed(8), on_npu=on_npu)
    assert seen.result.samples is not None
    feeds = seen.result.samples.head(3)
    return Trials(graph, segments, seen, QuantizeOptions(), feeds, tmp_path), graph, segments


@pytest.mark.parametrize("on_cpu", [False, True])
def test_a_trial_leaves_no_trace_and_repeats_to_the_bit(tmp_path: Path, on_cpu: bool) -> None:
    trials, graph, _ = made(tmp_path, on_cpu=on_cpu)
    before = [(n.op, tuple(n.inputs), n.quant) for n in graph.nodes]
    first = trials.answers(PrecisionOptions(), 2, on_npu)
    second = trials.answers(PrecisionOptions(), 2, on_npu)
    assert [(n.op, tuple(n.inputs), n.quant) for n in graph.nodes] == before
    assert all(tensor.quant is None for tensor in graph.tensors.values())
    assert len(first) == 2
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one[0], other[0])


def test_more_bits_are_less_noise(tmp_path: Path) -> None:
    trials, graph, _ = made(tmp_path)
    names = [name for name in graph.tensors if name not in graph.outputs]
    every = [*names, *(f"{name}:u8" for name in names)]
    storage: dict[str, QuantDtype] = dict.fromkeys(every, "s16")
    plain = noise(trials.exact, trials.answers(PrecisionOptions(), 3, on_npu))
    wide = noise(trials.exact, trials.answers(PrecisionOptions(storage=storage), 3, on_npu))
    assert wide[0] < plain[0] / 100


def test_a_fork_shares_weights_and_nothing_that_quantisation_changes(tmp_path: Path) -> None:
    trials, graph, segments = made(tmp_path)
    copy, parts = fork(graph, segments)
    quantise(copy, trials.observed.stats, on_npu=on_npu)
    assert any(node.quant is not None for node in copy.nodes)
    assert all(node.quant is None for node in graph.nodes)
    assert all(n in copy.nodes for part in parts for n in part.nodes)
    pairs = zip(graph.nodes, fork(graph, segments)[0].nodes, strict=True)
    assert all(one.weights is other.weights for one, other in pairs)


def test_noise_is_the_inverse_of_the_ratio_in_decibels() -> None:
    rng = np.random.default_rng(0)
    exact = [[rng.normal(size=(1, 5)), rng.normal(size=7)] for _ in range(3)]
    found = [[a + rng.normal(size=a.shape) / 50 for a in sample] for sample in exact]
    power = noise(exact, found)
    for k in range(2):
        whole = [np.concatenate([s[k].ravel() for s in every]) for every in (exact, found)]
        assert -10 * np.log10(power[k]) == pytest.approx(sqnr_db(*whole))
