"""Tensors that leave 8 bits get back the bound that equalisation took from them."""

from pathlib import Path

import numpy as np
import onnx

from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.ir import Graph, Node, QuantDtype
from maccel_aio.compiler.numeric import Observed, observe_graph
from maccel_aio.compiler.partition import Segment, partition
from maccel_aio.compiler.passes import run_passes
from maccel_aio.compiler.precision import PrecisionOptions
from maccel_aio.compiler.quantize import QuantizeOptions
from maccel_aio.compiler.report import sqnr_db
from maccel_aio.compiler.trial import Trials, fork
from maccel_aio.compiler.unscale import unscale
from tests.compiler.onnx_models import Model


def on_npu(node: Node) -> bool:
    return not node.reason


def network() -> tuple[Model, onnx.ModelProto]:
    """Channels of very different size below a bound, read by a depthwise and a dense layer."""
    m = Model({"x": (1, 4, 8, 8)})
    sizes = np.geomspace(1.0, 0.02, 8, dtype=np.float32).reshape(8, 1, 1, 1)
    weights = m.rng.standard_normal((8, 4, 3, 3)).astype(np.float32) * sizes
    t = m.add("Conv", "x", m.const(weights), pads=[1] * 4)
    t = m.add("Clip", t, m.const(0.0), m.const(6.0))
    t = m.conv(t, (8, 1, 3, 3), pads=[1] * 4, group=8)
    t = m.add("Clip", t, m.const(0.0), m.const(6.0))
    return m, m.build(m.conv(t, (4, 8, 1, 1)))


def seen() -> tuple[Graph, list[Segment], Observed]:
    m, model = network()
    graph = import_model(model)
    run_passes(graph)
    segments = partition(graph)
    return graph, segments, observe_graph(graph, m.feed(20), on_npu=on_npu)


def test_float_layers_are_exact_on_data_beyond_the_calibration(tmp_path: Path) -> None:
    graph, segments, observed = seen()
    assert observed.bounded
    rng = np.random.default_rng(5)
    far = [{"x": (rng.standard_normal((1, 4, 8, 8)) * 6).astype(np.float32)} for _ in range(3)]
    trials = Trials(graph, segments, observed, QuantizeOptions(), far, tmp_path)
    every: dict[str, QuantDtype] = dict.fromkeys(graph.tensors, "f32")
    found = trials.answers(PrecisionOptions(storage=every), 3, on_npu)
    exact, other = (np.concatenate([s[0].ravel() for s in x]) for x in (trials.exact, found))
    assert sqnr_db(exact, other) > 80


def stream() -> tuple[Model, onnx.ModelProto]:
    """Two residual blocks behind ReLU, whose stream has channels of very different size."""
    m = Model({"x": (1, 4, 8, 8)})
    sizes = np.exp(m.rng.normal(size=(8, 1, 1, 1)) * 1.6)

    def layer(x: str, inputs: int, uneven: bool) -> str:
        weights = m.rng.standard_normal((8, inputs, 3, 3)) / (9 * inputs) ** 0.5
        weights = weights * sizes if uneven else weights
        return str(m.add("Conv", x, m.const(weights.astype(np.float32)), pads=[1] * 4))

    t = m.add("Relu", layer("x", 4, uneven=True))
    for _ in range(2):
        branch = m.add("Relu", layer(t, 8, uneven=False))
        t = m.add("Relu", m.add("Add", layer(branch, 8, uneven=True), t))
    return m, m.build(m.conv(t, (3, 8, 3, 3), pads=[1] * 4))


def test_a_tensor_of_a_scaled_stream_leaves_eight_bits_alone(tmp_path: Path) -> None:
    m, model = stream()
    graph = import_model(model)
    run_passes(graph)
    segments = partition(graph)
    observed = observe_graph(graph, m.feed(20), on_npu=on_npu)
    scaled = observed.result.scaled
    joined = [name for name, one in scaled.items() if sum(one is k for k in scaled.values()) > 1]
    assert len(joined) == 3
    samples = [{"x": array} for array in m.feed(3)["x"]]
    trials = Trials(graph, segments, observed, QuantizeOptions(), samples, tmp_path)
    exact = np.concatenate([answer[0].ravel() for answer in trials.exact])
    storage: QuantDtype
    for name in joined:
        for storage in ("s16", "f32"):
            wished = PrecisionOptions(storage={name: storage})
            found = trials.answers(wished, 3, on_npu)
            assert sqnr_db(exact, np.concatenate([a[0].ravel() for a in found])) > 25, name


def test_weights_activation_and_statistics_come_back() -> None:
    graph, segments, observed = seen()
    copy, _ = fork(graph, segments)
    restored = unscale(copy, observed, set(observed.bounded))
    m, model = network()
    plain = import_model(model)
    run_passes(plain)
    wanted = observe_graph(
        plain, m.feed(20), on_npu=on_npu, options=QuantizeOptions(equalise=False)
    )
    for node, real in zip(copy.nodes, plain.nodes, strict=True):
        assert node.act == real.act
        assert node.weights is not None
        assert real.weights is not None
        np.testing.assert_allclose(node.weights.kernel, real.weights.kernel, rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(node.weights.bias, real.weights.bias, rtol=1e-5, atol=1e-9)
    for name in observed.bounded:
        np.testing.assert_allclose(
            restored.stats[name].channel_mean(), wanted.stats[name].channel_mean(), rtol=1e-4
        )
        assert name not in restored.result.scaled


def test_the_original_and_other_tensors_stay() -> None:
    graph, segments, observed = seen()
    before = [(node.act, node.weights) for node in graph.nodes]
    high = {name: found.high for name, found in observed.stats.items()}
    copy, _ = fork(graph, segments)
    unscale(copy, observed, set(observed.bounded))
    assert [(node.act, node.weights) for node in graph.nodes] == before
    assert {name: found.high for name, found in observed.stats.items()} == high
    assert unscale(graph, observed, ()) is observed
