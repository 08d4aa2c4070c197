"""Pools and reductions: windows that hang over the edge, counted padding, dilation, whole axes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.compiler.families.harness import (
    PROPERTY,
    assert_same,
    check_float,
    check_smooth,
    compiled,
    reference,
)
from tests.compiler.onnx_models import Model

IMAGE = (1, 5, 9, 8)

WINDOWS: dict[str, dict[str, Any]] = {
    **{
        f"kernel_{k}_stride_{s}": {"kernel_shape": [k, k], "strides": [s, s]}
        for k, s in itertools.product((1, 2, 3, 5), (1, 2, 3))
    },
    "kernel_2x4": {"kernel_shape": [2, 4], "strides": [1, 3]},
    "pads": {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]},
    "pads_uneven": {"kernel_shape": [3, 3], "pads": [0, 1, 2, 0], "strides": [2, 2]},
    "pads_of_kernel_less_one": {"kernel_shape": [3, 3], "pads": [2, 2, 2, 2]},
    "ceil": {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
    "ceil_stride_3": {"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1},
    "ceil_padded": {
        "kernel_shape": [3, 3],
        "strides": [2, 2],
        "pads": [1, 1, 0, 0],
        "ceil_mode": 1,
    },
    "same_upper": {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "same_lower": {"kernel_shape": [2, 2], "strides": [1, 1], "auto_pad": "SAME_LOWER"},
    "valid": {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "VALID"},
    "whole_image": {"kernel_shape": [9, 8]},
}


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_float_pools_compute_what_onnxruntime_computes(op, name):
    m = Model({"x": IMAGE}, opset=19)
    check_float(m, m.add(op, "x", **WINDOWS[name]))


@pytest.mark.parametrize("name", [n for n, how in WINDOWS.items() if "ceil_mode" not in how])
def test_counted_padding_divides_by_the_whole_window(name):
    m = Model({"x": IMAGE})
    check_float(m, m.add("AveragePool", "x", count_include_pad=1, **WINDOWS[name]))


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_a_pool_moves_no_more_than_its_input(op, name):
    """Maxima and means do not magnify: the error is half a step of the input, carried along."""
    m = Model({"x": IMAGE}, opset=19)
    t = m.add(op, "x", **WINDOWS[name])
    check_smooth(m, t)


@pytest.mark.parametrize("name", ["kernel_3_stride_2", "pads", "ceil", "same_lower"])
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_a_pool_between_convolutions_runs_on_codes(op, name):
    m = Model({"x": IMAGE}, opset=19)
    t = m.add(op, m.conv("x", (20, 5, 1, 1)), **WINDOWS[name])
    out = m.conv(t, (4, 20, 1, 1))
    found = compiled(m.build(out), calibration=m.feed(8), measure=4)
    assert {layer.precision for layer in found.report.layers} == {"int8"}
    assert found.report.output_sqnr_device_db[out] > 28


def test_a_maximum_over_codes_is_one_of_the_codes():
    """Nothing is rounded again: pooling commutes with storing."""
    m = Model({"x": (1, 17, 8, 8)})
    t = m.conv("x", (17, 17, 1, 1))
    pooled = m.add("MaxPool", m.add("Relu", t), kernel_shape=[2, 2], strides=[2, 2])
    weights = m.const(np.eye(17, dtype=np.float32)[:, :, None, None])
    out = m.add("Conv", pooled, weights)
    data = m.feed(4)
    found = compiled(m.build(out), calibration=data, measure=0)
    (have,) = found.run({"x": data["x"][0]})
    values = np.unique(np.round(np.unique(have) / have.max() * 255, 3))
    assert len(values) <= 256


@pytest.mark.parametrize("dilations", [[2, 2], [1, 3], [3, 1]])
def test_dilated_maxima_without_padding_run_on_the_npu(dilations):
    m = Model({"x": IMAGE})
    check_float(m, m.add("MaxPool", "x", kernel_shape=[3, 2], dilations=dilations))


def test_indices_of_maxima_are_the_cpus():
    m = Model({"x": IMAGE})
    top, _ = m.add("MaxPool", "x", kernel_shape=[2, 2], outputs=2)
    check_float(m, m.add("Relu", top))
    m = Model({"x": (1, 5, 8, 8)})  # an even size: MaxUnpool gives back what was there
    top, where = m.add("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2], outputs=2)
    back = m.add("MaxUnpool", top, where, kernel_shape=[2, 2], strides=[2, 2])
    check_float(m, back, cpu=["MaxPool", "MaxUnpool"])


@settings(PROPERTY, max_examples=50)
@given(data=st.data())
def test_any_window_is_computed(data):
    draw = data.draw
    size = [draw(st.integers(1, 10)) for _ in range(2)]
    kernel = [draw(st.integers(1, 4)) for _ in range(2)]
    strides = [draw(st.integers(1, 4)) for _ in range(2)]
    pads = [draw(st.integers(0, kernel[k % 2] - 1)) for k in range(4)]
    for d in range(2):
        assume(size[d] + pads[d] + pads[2 + d] >= kernel[d])
    op = draw(st.sampled_from(["MaxPool", "AveragePool"]))
    ceil = draw(st.integers(0, 1))
    attrs: dict[str, Any] = {"strides": strides, "pads": pads, "ceil_mode": ceil}
    if op == "AveragePool" and not ceil:
        attrs["count_include_pad"] = draw(st.integers(0, 1))
    m = Model({"x": (1, draw(st.integers(1, 18)), *size)}, opset=19)
    model = m.build(m.add(op, "x", kernel_shape=kernel, **attrs))
    feed = m.feed()
    assert_same(compiled(model).run(feed), reference(model, feed))


REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin")


@pytest.mark.parametrize("op", REDUCTIONS)
@pytest.mark.parametrize("keep", [0, 1])
def test_reductions_over_every_set_of_axes(op, keep):
    shape = (2, 3, 4, 5)
    for count in range(1, 4 + keep):
        for axes in itertools.combinations(range(4), count):
            m = Model({"x": shape}, opset=18)
            signed = [a - 4 if a % 2 else a for a in axes]
            t = m.add(op, "x", m.const(signed, np.int64), keepdims=keep)
            check_float(m, t)


@pytest.mark.parametrize(("op", "weight"), [("ReduceMean", 1.0), ("ReduceMax", 1.0)])
def test_reductions_move_no_more_than_their_input(op, weight):
    m = Model({"x": (1, 6, 5, 7)})
    t = m.add(op, m.add("Mul", "x", m.const(np.ones((1, 6, 1, 1)))), axes=[2, 3], keepdims=1)
    check_smooth(m, t, weight)


def test_reducing_no_axes_at_all():
    m = Model({"x": (2, 3)}, opset=18)
    none = m.const(np.zeros(0), np.int64)
    check_float(m, m.add("ReduceSum", "x", none, keepdims=0))
    m = Model({"x": (2, 3)}, opset=18)
    none = m.const(np.zeros(0), np.int64)
    t = m.add("ReduceSum", "x", none, noop_with_empty_axes=1)
    model, feed = m.build(m.add("Relu", t)), m.feed()
    assert_same(compiled(model).run(feed), reference(model, feed))
