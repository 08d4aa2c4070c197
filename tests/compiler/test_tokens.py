"""Weights of layers whose rows are quantised one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maccel_aio.compiler.calibration import TensorStats
from maccel_aio.compiler.ir import FLOAT, Activation, ConvWeights, Graph, Node, TensorQuant
from maccel_aio.compiler.pointwise import evaluate
from maccel_aio.compiler.tokens import _LOWEST, lower_bound, quantise_tokens
from tests.compiler.graphs import Builder, weights_of

ROWS, WIDTH, OUTPUTS = 5, 12, 7


def everywhere(node: Node) -> bool:
    return True


def layers(count: int, seed: int = 0) -> Graph:
    b = Builder((1, ROWS, WIDTH), seed)
    names = [
        b.add(
            "Linear",
            ["x"],
            (1, ROWS, OUTPUTS),
            weights=ConvWeights(
                b.rng.normal(size=(OUTPUTS, WIDTH, 1, 1)).astype(np.float32),
                b.rng.normal(size=OUTPUTS).astype(np.float32),
            ),
        )
        for _ in range(count)
    ]
    return b.graph(*names)


def stats_of(columns: np.ndarray) -> TensorStats:
    found = TensorStats(2)
    found.add(np.broadcast_to(columns, (1, ROWS, WIDTH)).astype(np.float32))
    return found


def real_weights(node: Node) -> np.ndarray:
    tokens = node.tokens
    assert tokens is not None
    real = tokens.weights[:, 0, 0] * tokens.scale[:, None]
    return real if tokens.smooth is None else real * tokens.smooth


@given(seed=st.integers(0, 2**32 - 1))
def test_codes_times_scales_are_the_weights_to_half_a_step(seed: int) -> None:
    graph = layers(1, seed)
    columns = np.exp(np.random.default_rng(seed).normal(0, 3, WIDTH))
    quantise_tokens(graph, {"x": stats_of(columns)}, everywhere)
    (node,) = graph.nodes
    assert node.tokens is not None
    assert node.weights is not None
    assert node.tokens.smooth is not None
    step = node.tokens.scale[:, None] * node.tokens.smooth
    error = np.abs(real_weights(node) - node.weights.kernel[:, :, 0, 0])
    assert (error <= step * 0.5001).all()


def test_large_columns_are_made_smaller_and_small_ones_larger() -> None:
    graph = layers(1)
    columns = np.ones(WIDTH)
    columns[3], columns[5] = 100.0, 0.01
    quantise_tokens(graph, {"x": stats_of(columns)}, everywhere)
    tokens = graph.nodes[0].tokens
    assert tokens is not None
    assert tokens.smooth is not None
    rest = np.delete(tokens.smooth, [3, 5])
    assert tokens.smooth[3] < rest.min()
    assert tokens.smooth[5] > rest.max()


def test_layers_of_one_tensor_share_the_factors() -> None:
    graph = layers(3)
    quantise_tokens(graph, {"x": stats_of(np.arange(1, WIDTH + 1))}, everywhere)
    factors = [node.tokens.smooth for node in graph.nodes if node.tokens is not None]
    assert len(factors) == 3
    for other in factors[1:]:
        np.testing.assert_array_equal(factors[0], other)


@pytest.mark.parametrize("columns", [np.zeros(WIDTH), np.r_[np.zeros(WIDTH - 1), 4.0]])
def test_columns_that_calibration_never_saw_do_no_harm(columns: np.ndarray) -> None:
    graph = layers(1)
    quantise_tokens(graph, {"x": stats_of(columns)}, everywhere)
    tokens = graph.nodes[0].tokens
    assert tokens is not None
    assert tokens.smooth is not None
    assert np.isfinite(tokens.smooth).all()
    assert np.isfinite(tokens.bias).all()
    assert (tokens.smooth > 0).all()


def test_without_calibration_the_columns_keep_their_size() -> None:
    graph = layers(1)
    quantise_tokens(graph, {}, everywhere)
    tokens = graph.nodes[0].tokens
    assert tokens is not None
    assert tokens.smooth is None
    np.testing.assert_array_equal(tokens.bias, weights_of(graph.nodes[0]).bias)


def test_integer_inputs_and_nodes_elsewhere_stay_as_they_are() -> None:
    graph = layers(1)
    quantise_tokens(graph, {}, lambda _: False)
    assert graph.nodes[0].tokens is None
    graph.tensor("x").quant = TensorQuant("u8", 0.1, 3)
    quantise_tokens(graph, {}, everywhere)
    assert graph.nodes[0].tokens is None
    graph.tensor("x").quant = FLOAT
    quantise_tokens(graph, {}, everywhere)
    assert graph.nodes[0].tokens is not None


@pytest.mark.parametrize("kind", _LOWEST)
def test_lower_bounds_hold_and_are_near(kind: str) -> None:
    x = np.concatenate([np.linspace(-60, 20, 80001), [-1e4, -1e30]])
    lowest = evaluate(Activation(kind, 1.0 / 6.0, 0.5), x[np.abs(x) < 80]).min()
    assert _LOWEST[kind] <= lowest < _LOWEST[kind] + 1e-3


@pytest.mark.parametrize(
    ("act", "low"),
    [
        (Activation("clamp", 0.0, np.inf), 0.0),
        (Activation("clamp", -0.25, 6.0), -0.25),
        (Activation("clamp", 0.5, 6.0), None),
        (Activation("clamp", -3.0, 3.0), None),
        (Activation("tanh"), None),
        (None, None),
    ],
)
def test_only_functions_with_a_near_lower_bound_have_one(
    act: Activation | None, low: float | None
) -> None:
    b = Builder((1, ROWS, WIDTH))
    made = b.add("Activation", ["x"], (1, ROWS, WIDTH), act=act)
    moved = b.add("Reshape", [made], (ROWS, WIDTH))
    makers = b.graph(moved).producers()
    assert lower_bound(makers, moved) == low
    assert lower_bound(makers, "x") is None


@given(seed=st.integers(0, 2**32 - 1))
def test_codes_from_the_bound_on_give_the_same_sums(seed: int) -> None:
    b = Builder((1, ROWS, WIDTH), seed)
    x = b.add("Activation", ["x"], (1, ROWS, WIDTH), act=Activation("gelu_erf"))
    weights = ConvWeights(
        b.rng.normal(size=(OUTPUTS, WIDTH, 1, 1)).astype(np.float32),
        b.rng.normal(size=OUTPUTS).astype(np.float32),
    )
    graph = b.graph(b.add("Linear", [x], (1, ROWS, OUTPUTS), weights=weights))
    quantise_tokens(graph, {x: stats_of(b.rng.uniform(0.1, 3.0, WIDTH))}, everywhere)
    node = graph.nodes[1]
    tokens = node.tokens
    assert tokens is not None
    assert tokens.low == _LOWEST["gelu_erf"]
    assert tokens.smooth is not None
    rows = b.rng.uniform(tokens.low, 3.0, (ROWS, WIDTH))
    codes = (rows - tokens.low) * tokens.smooth
    got = codes @ (tokens.weights[:, 0, 0] * tokens.scale[:, None]).T + tokens.bias
    want = rows @ real_weights(node).T + weights_of(node).bias
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
