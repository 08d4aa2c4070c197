"""Concat, Split and Slice in place: many readers, many writers, and ends of the graph."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compiler.families.harness import PROPERTY, assert_same, check_float, compiled, reference
from tests.compiler.onnx_models import Model

IMAGE = (1, 6, 5, 7)


def _check_both(m: Model, *outputs: str, db: float = 25.0) -> None:
    """Float as onnxruntime; int8 with all outputs clear of noise."""
    check_float(m, *outputs)
    model, data = m.build(*outputs), m.feed(8)
    found = compiled(model, calibration=data)
    feed = {name: value[0] for name, value in data.items()}
    for have, want in zip(found.run(feed), reference(model, feed), strict=True):
        assert have.shape == want.shape
        noise = np.square(have.astype(np.float64) - want).sum()
        assert noise <= np.square(want.astype(np.float64)).sum() * 10 ** (-db / 10)


def _slice(m: Model, x: str, start: int, end: int, axis: int, step: int = 1) -> str:
    args = (m.const([v], np.int64) for v in (start, end, axis, step))
    return str(m.add("Slice", x, *args))


def test_a_joined_tensor_is_read_by_others_too():
    m = Model({"x": IMAGE})
    a, b = m.conv("x", (4, 6, 1, 1)), m.conv("x", (5, 6, 1, 1))
    joined = m.add("Concat", a, b, axis=1)
    _check_both(m, m.conv(joined, (3, 9, 1, 1)), m.conv(a, (2, 4, 1, 1)), m.add("Relu", b))


def test_one_tensor_is_part_of_two_joins():
    m = Model({"x": IMAGE})
    a, b = m.conv("x", (4, 6, 1, 1)), m.conv("x", (4, 6, 1, 1))
    first, second = m.add("Concat", a, b, axis=1), m.add("Concat", b, a, axis=1)
    _check_both(m, m.conv(first, (3, 8, 1, 1)), m.conv(second, (3, 8, 3, 3)))


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_one_tensor_is_joined_with_itself(times, axis):
    m = Model({"x": IMAGE})
    t = m.add("Sigmoid", m.conv("x", (4, 6, 1, 1)))
    _check_both(m, m.add("Concat", *[t] * times, axis=axis))


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_an_input_of_the_model_is_joined(axis):
    m = Model({"x": IMAGE})
    t = m.add("Relu", "x")
    _check_both(m, m.add("Concat", "x", t, "x", axis=axis))


def test_inputs_of_the_model_are_joined_without_any_work_between():
    m = Model({"a": (1, 2, 4, 5), "b": (1, 3, 4, 5)})
    _check_both(m, m.conv(m.add("Concat", "b", "a", axis=1), (4, 5, 3, 3)))


def test_a_part_of_a_join_is_also_an_output():
    m = Model({"x": IMAGE})
    a, b = m.conv("x", (4, 6, 1, 1)), m.conv("x", (5, 6, 1, 1))
    joined = m.add("Concat", a, b, axis=1)
    _check_both(m, a, joined, m.add("Relu", m.conv(joined, (3, 9, 1, 1))), b)


def test_a_join_and_its_part_are_changed_in_place_by_nobody():
    m = Model({"x": IMAGE})
    a, b = m.conv("x", (6, 6, 1, 1)), m.conv("x", (6, 6, 1, 1))
    joined = m.add("Concat", a, b, axis=1)
    doubled = m.add("Exp", a)  # must not overwrite its part of the join
    _check_both(m, m.add("Mul", joined, joined), m.add("Add", doubled, b), db=20)


def test_joins_of_joins_along_different_axes():
    m = Model({"x": IMAGE})
    parts = [m.conv("x", (4, 6, 1, 1)) for _ in range(4)]
    rows = [m.add("Concat", *parts[k : k + 2], axis=2) for k in (0, 2)]
    _check_both(m, m.add("Concat", *rows, axis=1))


def test_a_join_of_constants_between_activations():
    m = Model({"x": IMAGE})
    t = m.conv("x", (4, 6, 1, 1))
    _check_both(m, m.add("Concat", m.random(1, 2, 5, 7), t, m.random(1, 1, 5, 7), axis=1))


def test_a_join_of_one():
    m = Model({"x": IMAGE})
    _check_both(m, m.add("Relu", m.add("Concat", m.conv("x", (4, 6, 1, 1)), axis=1)))


def test_a_dense_block_reads_all_of_its_prefixes():
    m = Model({"x": IMAGE})
    features = ["x"]
    width = 6
    for _ in range(4):
        joined = features[0] if len(features) == 1 else m.add("Concat", *features, axis=1)
        features.append(m.add("Relu", m.conv(joined, (4, width, 3, 3), pads=[1] * 4)))
        width += 4
    _check_both(m, m.conv(m.add("Concat", *features, axis=1), (3, width, 1, 1)))


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_split_that_is_joined_in_another_order(axis):
    m = Model({"x": (1, 6, 6, 6)})
    t = m.conv("x", (6, 6, 1, 1))
    parts = m.add("Split", t, m.const([1, 2, 3], np.int64), outputs=3, axis=axis)
    _check_both(m, m.add("Concat", parts[2], parts[0], parts[1], axis=axis))


def test_a_split_of_which_one_part_is_worked_on():
    """The form of a cross-stage block: half goes through, half passes by."""
    m = Model({"x": (1, 8, 6, 6)})
    t = m.add("Relu", m.conv("x", (8, 8, 1, 1)))
    left, right = m.add("Split", t, m.const([4, 4], np.int64), outputs=2, axis=1)
    inner = m.add("Add", m.conv(right, (4, 4, 3, 3), pads=[1] * 4), right)
    _check_both(m, m.conv(m.add("Concat", left, right, inner, axis=1), (5, 12, 1, 1)))


def test_a_focus_layer_takes_every_second_pixel():
    m = Model({"x": (1, 3, 8, 8)})
    parts = []
    for row in (0, 1):
        for column in (0, 1):
            part = _slice(m, "x", row, 8, 2, 2)
            parts.append(_slice(m, part, column, 8, 3, 2))
    _check_both(m, m.conv(m.add("Concat", *parts, axis=1), (6, 12, 3, 3)))


def test_slices_of_slices_of_slices():
    m = Model({"x": (1, 9, 10, 11)})
    t = m.conv("x", (9, 9, 1, 1))
    t = _slice(m, t, 1, 8, 1, 2)
    t = _slice(m, t, -9, -1, 2, 3)
    t = _slice(m, t, 2, 1000, 3, 4)
    _check_both(m, m.add("Sigmoid", t))


@pytest.mark.parametrize(
    ("start", "end", "step"),
    [(0, 2**31 - 1, 1), (-(2**63), 2**63 - 1, 1), (-3, 2**63 - 1, 2), (3, -1, 1), (100, 200, 1)],
)
def test_bounds_of_slices_are_clamped(start, end, step):
    m = Model({"x": (1, 6, 5, 7)})
    model = m.build(m.add("Relu", _slice(m, "x", start, end, 3, step)))
    feed = m.feed()
    (want,) = reference(model, feed)
    if want.size:
        assert_same(compiled(model).run(feed), [want])


def test_a_backward_slice_is_the_cpus():
    m = Model({"x": IMAGE})
    t = _slice(m, m.conv("x", (4, 6, 1, 1)), -1, -(2**63), 2, -1)
    check_float(m, m.conv(t, (3, 4, 1, 1)), cpu=["Slice"])


@pytest.mark.parametrize("shift", [1, 3])
def test_a_rolled_window(shift):
    m = Model({"x": (1, 4, 8, 8)})
    t = m.conv("x", (4, 4, 1, 1))
    for axis in (2, 3):
        parts = [_slice(m, t, shift, 100, axis), _slice(m, t, 0, shift, axis)]
        t = m.add("Concat", *parts, axis=axis)
    _check_both(m, m.conv(t, (4, 4, 3, 3)))


def test_outputs_that_are_one_tensor_under_several_names():
    m = Model({"x": IMAGE})
    t = m.add("Relu", m.conv("x", (4, 6, 1, 1)))
    same = [m.add("Identity", t) for _ in range(3)]
    _check_both(m, t, *same)


def test_the_same_output_twice():
    m = Model({"x": IMAGE})
    t = m.add("Relu", m.conv("x", (4, 6, 1, 1)))
    model, feed = m.build(t, t), m.feed()
    assert_same(compiled(model).run(feed), reference(model, feed))


def test_an_output_that_is_read_again_keeps_its_values():
    m = Model({"x": IMAGE})
    outs = [m.conv("x", (6, 6, 1, 1))]
    for op in ("Relu", "Exp", "Neg", "Tanh"):
        outs.append(m.add(op, outs[-1]))
    check_float(m, *outs)


def test_views_of_an_output_are_outputs_too():
    m = Model({"x": IMAGE})
    t = m.conv("x", (6, 6, 1, 1))
    flat = m.add("Reshape", t, m.const([6, -1], np.int64))
    turned = m.add("Transpose", t, perm=[0, 3, 2, 1])
    part = _slice(m, t, 1, 4, 1)
    _check_both(m, t, flat, turned, part)


def test_an_output_straight_from_the_input():
    m = Model({"x": IMAGE})
    outs = [m.add("Transpose", "x", perm=[0, 2, 3, 1]), _slice(m, "x", 1, 3, 1)]
    check_float(m, *outs, m.add("Identity", "x"))


def test_an_input_that_nobody_reads():
    m = Model({"x": IMAGE, "unused": (2, 3)})
    found = check_float(m, m.conv("x", (4, 6, 1, 1)))
    assert [entry["name"] for entry in found.file.variant["inputs"]] == ["x", "unused"]


@settings(PROPERTY, max_examples=40)
@given(data=st.data())
def test_any_cutting_and_joining_is_computed(data):
    """Cut along random axes, permute the parts, work on some, join: several times."""
    draw = data.draw
    shape = [1, *(draw(st.integers(2, 6)) for _ in range(3))]
    m = Model({"x": tuple(shape)})
    t = m.conv("x", (shape[1], shape[1], 1, 1))
    outs = []
    for _ in range(draw(st.integers(1, 4))):
        axis = draw(st.integers(1, 3))
        cut = draw(st.integers(1, shape[axis] - 1)) if shape[axis] > 1 else 0
        if not cut:
            continue
        sizes = m.const([cut, shape[axis] - cut], np.int64)
        parts = m.add("Split", t, sizes, outputs=2, axis=axis)
        parts = [m.add("Relu", p) if draw(st.booleans()) else p for p in parts]
        if draw(st.booleans()):
            parts.append(parts[0])
            shape[axis] += cut
        parts = [parts[k] for k in draw(st.permutations(range(len(parts))))]
        t = m.add("Concat", *parts, axis=axis)
        if draw(st.booleans()):
            outs.append(t)
    last = m.add("Tanh", t)
    check_float(m, *dict.fromkeys([*outs, last]))
