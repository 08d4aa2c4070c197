"""Binary operators between tensors of every pair of ranks, constants on either side."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compiler.families.harness import PROPERTY, check_float, check_smooth, compiled
from tests.compiler.onnx_models import Model

FULL = (2, 3, 4, 5)
OPS = ("Add", "Sub", "Mul", "Div", "Max", "Min")
HALVES: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
SUFFIXES = [FULL[k:] for k in range(5)]


def _second(m: Model, shape: tuple[int, ...]) -> str:
    """Return a constant that is safe to divide by."""
    values = m.rng.uniform(0.5, 2.0, shape) * np.where(m.rng.random(shape) < 0.5, -1, 1)
    return m.const(values.astype(np.float32))


@pytest.mark.parametrize("shape", SUFFIXES, ids=str)
@pytest.mark.parametrize("op", OPS)
def test_a_constant_of_lower_rank(op, shape):
    m = Model({"x": FULL})
    check_float(m, m.add(op, "x", _second(m, shape)))


@pytest.mark.parametrize("shape", SUFFIXES, ids=str)
def test_a_constant_of_higher_rank_on_either_side(shape):
    for op in ("Add", "Sub", "Mul", "Max"):
        for first in (True, False):
            m = Model({"x": shape})
            constant = _second(m, FULL)
            check_float(m, m.add(op, *((constant, "x") if first else ("x", constant))))


@pytest.mark.parametrize("shape", list(itertools.product((1, 2), (1, 3), (1, 4), (1, 5))), ids=str)
def test_ones_in_every_place(shape):
    m = Model({"x": FULL, "y": shape})
    check_float(m, m.add("Sub", "x", "y"), m.add("Mul", "y", "x"))


@pytest.mark.parametrize("pair", list(itertools.combinations_with_replacement(range(5), 2)))
def test_two_activations_of_every_pair_of_ranks(pair):
    shapes = [FULL[4 - rank :] for rank in pair]
    m = Model(dict(zip("ab", shapes, strict=True)))
    check_float(m, m.add("Add", "a", "b"), m.add("Sub", "b", "a"))


def test_both_operands_grow():
    m = Model({"a": (3, 1, 5, 1), "b": (1, 4, 1, 6)})
    check_float(m, m.add("Mul", "a", "b"), m.add("Min", "b", "a"))


def test_scalars():
    m = Model({"a": (), "b": (2, 3), "c": ()})
    total = m.add("Add", "a", "c")
    check_float(m, m.add("Mul", "b", "a"), total, m.add("Exp", total))


@pytest.mark.parametrize("op", OPS)
def test_one_tensor_with_itself(op):
    m = Model({"x": FULL})
    safe = m.add("Add", m.add("Abs", "x"), m.const(0.5))
    check_float(m, m.add(op, safe, safe))


def test_a_constant_per_channel_in_int8_after_pooling():
    m = Model({"x": (1, 18, 4, 4)})
    scale = m.const(np.linspace(0.5, 2.0, 18)[:, None, None])
    check_smooth(m, m.add("Mul", "x", scale), 2.0)


@pytest.mark.parametrize(("op", "value"), [("Mul", -0.7), ("Add", 0.3), ("Min", 0.2), ("Div", 3.0)])
def test_one_number_in_int8(op, value):
    m = Model({"x": (1, 18, 8, 8)})
    made = m.add(op, m.add("AveragePool", "x", **HALVES), m.const(np.float32(value)))
    # Two formats lie between the pools; their steps are at most those of the input and a constant.
    check_smooth(m, m.add("AveragePool", made, **HALVES), 2.0, extra=0.05)


@pytest.mark.parametrize("op", ["Add", "Sub"])
def test_sums_with_a_constant_move_no_more_than_their_input(op):
    m = Model({"x": (1, 18, 4, 4)})
    check_smooth(m, m.add(op, "x", m.random(18, 1, 1)))


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_extremes_move_no_more_than_their_input(op):
    m = Model({"x": (1, 18, 4, 4)})
    check_smooth(m, m.add(op, m.add("Neg", "x"), m.random(1, 4)))


def test_operands_with_different_scales_add_in_int8():
    """One operand is a thousand times the other; each keeps its own step."""
    m = Model({"a": (1, 20, 5, 5), "b": (1, 20, 5, 5)})
    small = m.add("Mul", m.conv("a", (20, 20, 1, 1)), m.const(1e-3))
    t = m.add("Add", small, m.conv("b", (20, 20, 1, 1)))
    data = m.feed(8)
    found = compiled(m.build(t), calibration=data, measure=4)
    assert found.report.output_sqnr_device_db[t] > 30


def test_an_attention_mask_per_row():
    m = Model({"x": (1, 4, 6, 6), "mask": (1, 1, 1, 6)})
    bias = m.add("Mul", m.add("Sub", m.const(1.0), "mask"), m.const(-10000.0))
    t = m.add("Softmax", m.add("Add", "x", bias), axis=-1)
    feed = m.feed()
    feed["mask"] = np.array([1, 1, 1, 0, 1, 0], np.float32).reshape(1, 1, 1, 6)
    found = check_float(m, t, feed=feed)
    (have,) = found.run(feed)
    assert have[..., [3, 5]].max() == 0.0


@settings(PROPERTY, max_examples=60)
@given(data=st.data())
def test_any_two_shapes_that_broadcast(data: Any):
    draw = data.draw
    full = [draw(st.integers(1, 5)) for _ in range(draw(st.integers(1, 5)))]
    shapes = []
    for _ in range(2):
        rank = draw(st.integers(0, len(full)))
        keep = [draw(st.booleans()) for _ in range(rank)]
        dims = full[len(full) - rank :]
        shapes.append(tuple(n if k else 1 for n, k in zip(dims, keep, strict=True)))
    op = draw(st.sampled_from(["Add", "Sub", "Mul", "Max", "Min"]))
    constant = draw(st.sampled_from([None, 0, 1]))
    m = Model({n: s for k, (n, s) in enumerate(zip("ab", shapes, strict=True)) if k != constant})
    names = [m.random(*shapes[k]) if k == constant else "ab"[k] for k in range(2)]
    t = m.add(op, *names)
    if draw(st.booleans()):
        t = m.add(draw(st.sampled_from(["Relu", "Sigmoid", "LeakyRelu"])), t)
    check_float(m, t)
