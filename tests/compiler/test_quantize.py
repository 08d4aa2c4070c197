"""Quantised graphs against float ones, evaluated by the device's number rules."""

import numpy as np
import pytest

from maccel_aio.compiler.ir import FLOAT, Activation, Node, Residual, TensorQuant
from maccel_aio.compiler.qdq import GivenFormat, GivenScales
from maccel_aio.compiler.quantize import QuantizeOptions, clamp_codes, is_depthwise, quantise
from maccel_aio.compiler.report import sqnr_db
from tests.compiler.evaluator import Evaluator
from tests.compiler.graphs import RELU, Builder, feeds, statistics, weights_of


def everywhere(node: Node) -> bool:
    return True


def block(seed: int = 0) -> tuple[Builder, str]:
    b = Builder((1, 6, 12, 12), seed)
    stem = b.conv("x", 8, kernel=3, act=Activation("clamp", 0.0, 6.0))
    wide = b.conv(stem, 24, act=RELU)
    deep = b.conv(wide, 24, kernel=3, group=24, act=RELU)
    added = b.conv(deep, 8, residual=stem)
    return b, b.conv(added, 5)


def noise(options: QuantizeOptions | None = None, seed: int = 0) -> float:
    b, out = block(seed)
    graph = b.graph(out)
    samples = feeds(graph, 9)
    stats = statistics(graph, samples[1:])
    exact = Evaluator(graph).run(samples[0])[out]
    quantise(graph, stats, on_npu=everywhere, options=options)
    return sqnr_db(exact, Evaluator(graph).run(samples[0])[out])


@pytest.mark.parametrize("seed", range(3))
def test_a_quantised_block_is_close_to_float(seed: int) -> None:
    assert noise(seed=seed) > 28


def test_every_integer_convolution_has_integers_and_float_ones_have_none() -> None:
    b, out = block()
    graph = b.graph(out)
    quantise(graph, statistics(graph, feeds(graph, 2)), on_npu=everywhere)
    for node in graph.walk("Conv"):
        assert node.quant is not None
        assert node.quant.weights.dtype == np.int8
        assert node.quant.bias.dtype == np.int32
        assert node.quant.scale.dtype == np.float64
    assert graph.tensor(out).storage == FLOAT


def test_fused_clamps_become_codes() -> None:
    b, out = block()
    graph = b.graph(out)
    quantise(graph, statistics(graph, feeds(graph, 2)), on_npu=everywhere)
    wide = graph.nodes[2]
    assert wide.quant is not None
    zero = graph.tensor(wide.output).storage.zero
    assert (wide.quant.qmin, wide.quant.qmax) == (zero, 255)


def test_a_clamp_behind_a_late_residual_is_not_folded() -> None:
    node = Node("Conv", "c", ["x", "r"], ["y"], act=RELU, residual=Residual("r", after_act=True))
    assert clamp_codes(node, TensorQuant("u8", 0.1, 10)) == (None, None)
    node.residual = None
    assert clamp_codes(node, TensorQuant("u8", 0.1, 10)) == (10, 255)
    assert clamp_codes(node, FLOAT) == (None, None)


def test_bias_correction_removes_the_mean_error() -> None:
    rng = np.random.default_rng(0)
    b = Builder((1, 16, 6, 6))
    out = b.conv("x", 32)
    graph = b.graph(out)
    samples = [
        {"x": (5 + 0.1 * rng.normal(size=(1, 16, 6, 6))).astype(np.float32)} for _ in range(4)
    ]
    stats = statistics(graph, samples)
    exact = Evaluator(graph).run(samples[0])[out]
    errors = []
    for correct in (False, True):
        graph = b.graph(out)
        options = QuantizeOptions(bias_correction=correct)
        quantise(graph, stats, on_npu=everywhere, options=options)
        found = Evaluator(graph).run(samples[0])[out]
        errors.append(np.abs((found - exact).mean(axis=(0, 2, 3))).max())
    assert errors[1] < errors[0] / 3


def test_sixteen_bit_depthwise_weights_are_used_when_asked() -> None:
    b, out = block()
    graph = b.graph(out)
    options = QuantizeOptions(depthwise_bits=16)
    quantise(graph, statistics(graph, feeds(graph, 2)), on_npu=everywhere, options=options)
    kinds = {is_depthwise(n): n.quant.weights.dtype for n in graph.walk("Conv") if n.quant}
    assert kinds == {True: np.dtype(np.int16), False: np.dtype(np.int8)}


def test_fixed_formats_win_over_ranges() -> None:
    b, out = block()
    graph = b.graph(out)
    pixel = TensorQuant("u8", 1 / 128, 127)
    quantise(graph, statistics(graph, feeds(graph, 2)), on_npu=everywhere, fixed={"x": pixel})
    assert graph.tensor("x").storage is pixel


def test_given_scales_win_over_ranges() -> None:
    b, out = block()
    graph = b.graph(out)
    name = graph.nodes[1].output
    given = GivenScales({name: GivenFormat("u8", 0.125, 3)})
    quantise(graph, statistics(graph, feeds(graph, 2)), on_npu=everywhere, given=given)
    assert graph.tensor(name).storage == TensorQuant("u8", 0.125, 3)


def test_without_statistics_everything_stays_float() -> None:
    b, out = block()
    graph = b.graph(out)
    quantise(graph, {}, on_npu=everywhere)
    assert all(node.quant is None for node in graph.walk("Conv"))
    assert {tensor.storage.dtype for tensor in graph.tensors.values()} == {"f32"}


def test_a_constant_output_does_not_make_products_overflow() -> None:
    b = Builder((1, 4, 6, 6))
    dead = b.conv("x", 4)
    out = b.conv(dead, 3)
    graph = b.graph(out)
    silent = [{"x": np.zeros((1, 4, 6, 6), np.float32)}]
    weights_of(b.nodes[0]).bias[:] = 0
    stats = statistics(graph, silent) | {"x": statistics(graph, feeds(graph, 2))["x"]}
    quantise(graph, stats, on_npu=everywhere)
    node = graph.nodes[0]
    assert node.quant is not None
    reach = np.abs(node.quant.weights.astype(np.int64)).sum(axis=(1, 2, 3)) * 255
    largest = (reach * node.quant.scale / graph.tensor(dead).storage.scale).max()
    assert largest < 2**30


def test_convolutions_that_leave_the_device_keep_float_weights() -> None:
    b, out = block()
    graph = b.graph(out)
    quantise(graph, statistics(graph, feeds(graph, 2)), on_npu=lambda n: n.name != out)
    assert graph.nodes[-1].quant is None
    assert graph.nodes[-1].inputs[0] == graph.nodes[-2].output
