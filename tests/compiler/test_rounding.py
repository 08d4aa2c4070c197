"""Compensated rounding: never worse than nearest on what it saw, and better where inputs agree."""

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maccel_aio.compiler import rounding
from maccel_aio.compiler.calibration import TensorStats
from maccel_aio.compiler.ir import ConvWeights, Node
from maccel_aio.compiler.quantize import QuantizeOptions
from maccel_aio.compiler.rounding import compensated_codes, is_compensated, sample_rows
from maccel_aio.compiler.tokens import quantise_tokens
from maccel_aio.compiler.weights import InputFormat, quantise_conv
from maccel_aio.errors import InvalidError
from tests.compiler.graphs import Builder

if TYPE_CHECKING:
    from collections.abc import Callable

X = InputFormat(0.02, 3)


def case(seed: int, outputs: int, inputs: int, count: int) -> tuple[np.ndarray, ...]:
    """Return weights, steps, and rows whose columns vary together; some never do."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(outputs, inputs))
    rows = rng.normal(size=(count, 2)) @ rng.normal(size=(2, inputs)) + rng.normal(size=inputs)
    rows += 0.1 * rng.normal(size=rows.shape)
    rows[:, rng.random(inputs) < 0.1] = 0.0
    return weights, np.abs(weights).max(axis=1) / 127, rows


def noise(codes: np.ndarray, weights: np.ndarray, step: np.ndarray, rows: np.ndarray, mean: bool):
    error = rows @ (codes * step[:, None] - weights).T
    return (error**2).mean(axis=0) - (error.mean(axis=0) ** 2 if mean else 0.0)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 5),
    st.sampled_from([1, 2, 9, 63, 64, 65, 130]),
    st.integers(1, 40),
    st.booleans(),
)
def test_the_error_on_what_was_seen_is_never_larger(
    seed: int, outputs: int, inputs: int, count: int, centred: bool
) -> None:
    weights, step, rows = case(seed, outputs, inputs, count)
    codes = compensated_codes(weights, step, rows, 127, centred=centred)
    assert np.array_equal(codes, np.rint(codes))
    assert np.abs(codes).max() <= 127
    nearest = np.clip(np.rint(weights / step[:, None]), -127, 127)
    before = noise(nearest, weights, step, rows, centred)
    after = noise(codes, weights, step, rows, centred)
    assert np.all(after <= before * (1 + 1e-6) + 1e-12)
    again = compensated_codes(weights, step, rows, 127, centred=centred)
    assert np.array_equal(codes, again)


def test_inputs_that_vary_together_let_errors_cancel() -> None:
    weights, step, rows = case(1, 16, 130, 400)
    codes = compensated_codes(weights, step, rows, 127, centred=False)
    nearest = np.rint(weights / step[:, None])
    before, after = (noise(c, weights, step, rows, False).sum() for c in (nearest, codes))
    assert after < before / 2


def test_inputs_that_never_vary_keep_the_nearest_codes() -> None:
    weights, step, rows = case(2, 3, 20, 50)
    rows[:, 4:9] = 0.0
    moved = compensated_codes(weights, step, rows, 127, centred=False)
    assert np.array_equal(moved[:, 4:9], np.rint(weights / step[:, None])[:, 4:9])


def test_layers_with_windows_groups_or_many_inputs_are_left_out() -> None:
    def layer(op: str, shape: tuple[int, ...], group: int = 1) -> Node:
        kernel = ConvWeights(np.zeros(shape, np.float32), np.zeros(shape[0], np.float32))
        return Node(op, "n", ["x"], ["y"], attrs={"group": group}, weights=kernel)

    assert is_compensated(layer("Linear", (4, 8, 1, 1)))
    assert is_compensated(layer("Conv", (4, 8, 1, 1)))
    assert not is_compensated(layer("Conv", (4, 8, 3, 1)))
    assert not is_compensated(layer("Conv", (4, 8, 1, 1), 2))
    assert not is_compensated(layer("ConvTranspose", (4, 8, 1, 1)))
    assert not is_compensated(layer("Linear", (1, rounding.MOST_INPUTS + 1, 1, 1)))
    assert not is_compensated(Node("Conv", "n", ["x"], ["y"]))


def test_rows_are_bounded_and_come_from_all_samples() -> None:
    assert sample_rows([]) is None
    found = sample_rows([np.full((1500, 2), k, np.float32) for k in range(7)])
    assert found is not None
    assert len(found) <= rounding._MOST_ROWS
    assert set(found[:, 0]) == set(range(7))


@pytest.mark.parametrize("corrected", [False, True])
def test_convolutions_use_it_and_keep_their_scales(corrected: bool) -> None:
    weights, _, rows = case(3, 6, 40, 200)
    kernel = weights[:, None, None, :]
    mean = rows.mean(axis=0) if corrected else None
    plain = quantise_conv(kernel, None, X, mean=mean)
    found = quantise_conv(kernel, None, X, mean=mean, rows=rows)
    assert np.array_equal(found.scale, plain.scale)
    errors = []
    for numbers in (plain, found):
        real = rows @ numbers.dequantised(X)[:, 0, 0].T + numbers.bias * numbers.scale
        errors.append(((real - rows @ weights.T) ** 2).sum())
    assert errors[1] < errors[0] / 2


def test_weights_of_given_scales_and_16_bits_are_left_alone() -> None:
    weights, step, rows = case(4, 6, 40, 200)
    kernel = weights[:, None, None, :]
    for scale, bits in ((step, 8), (None, 16)):
        plain = quantise_conv(kernel, None, X, scale=scale, bits=bits)
        found = quantise_conv(kernel, None, X, scale=scale, bits=bits, rows=rows)
        assert np.array_equal(plain.weights, found.weights)


def test_token_layers_use_it_with_their_columns_factors() -> None:
    weights, _, rows = case(5, 7, 40, 300)
    rows *= np.exp(np.random.default_rng(5).normal(0, 2, 40))
    stats = TensorStats(2)
    stats.add(rows[None].astype(np.float32))
    errors = []
    rows_for: list[Callable[[Node], np.ndarray | None]] = [lambda _: None, lambda _: rows]
    for seen in rows_for:
        b = Builder((1, 300, 40))
        kernel = weights[:, :, None, None].astype(np.float32)
        layer = ConvWeights(kernel, np.zeros(7, np.float32))
        graph = b.graph(b.add("Linear", ["x"], (1, 300, 7), weights=layer))
        quantise_tokens(graph, {"x": stats}, lambda _: True, rows=seen)
        tokens = graph.nodes[0].tokens
        assert tokens is not None
        assert tokens.smooth is not None
        real = tokens.weights[:, 0, 0] * tokens.scale[:, None] * tokens.smooth
        errors.append(((rows @ (real - weights).T) ** 2).sum())
    assert errors[1] < errors[0] / 2


def test_another_rounding_is_refused() -> None:
    with pytest.raises(InvalidError, match="'nearest' or 'compensated'"):
        QuantizeOptions(rounding="upwards")  # type: ignore[arg-type]
