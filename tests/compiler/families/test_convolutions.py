"""Convolutions of every geometry: float equal to onnxruntime, int8 within the formats' budget."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.compiler.families.harness import (
    PLAIN,
    PROPERTY,
    check_budget,
    check_float,
    compiled,
    linear_budget,
    reference,
)
from tests.compiler.onnx_models import Model

GEOMETRIES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    # name: (input, weights, attributes)
    **{f"kernel_{k}": ((1, 5, 9, 8), (6, 5, k, k), {"pads": [k // 2] * 4}) for k in range(1, 8)},
    **{
        f"stride_{s}x{t}": ((1, 4, 11, 13), (5, 4, 3, 3), {"strides": [s, t], "pads": [1] * 4})
        for s, t in itertools.product((1, 2, 3), (1, 2, 4))
    },
    **{
        f"dilation_{d}x{e}": ((1, 4, 11, 13), (5, 4, 3, 3), {"dilations": [d, e]})
        for d, e in itertools.product((1, 2, 3), (1, 3))
    },
    "kernel_1x7": ((1, 4, 6, 9), (5, 4, 1, 7), {"pads": [0, 3, 0, 3]}),
    "kernel_7x1": ((1, 4, 9, 6), (5, 4, 7, 1), {"pads": [3, 0, 3, 0]}),
    "kernel_2x5": ((1, 4, 9, 9), (5, 4, 2, 5), {}),
    "pads_all_different": ((1, 3, 7, 8), (4, 3, 3, 4), {"pads": [0, 1, 2, 3]}),
    "pads_top_only": ((1, 3, 7, 8), (4, 3, 3, 3), {"pads": [2, 0, 0, 0]}),
    "pads_right_only": ((1, 3, 7, 8), (4, 3, 3, 3), {"pads": [0, 0, 0, 2]}),
    "pads_larger_than_the_kernel": ((1, 3, 4, 4), (4, 3, 2, 2), {"pads": [3, 3, 3, 3]}),
    "pads_stride_dilation": (
        (1, 4, 12, 10),
        (5, 4, 3, 2),
        {"pads": [2, 1, 0, 2], "strides": [2, 3], "dilations": [2, 1]},
    ),
    "image_of_one_pixel": ((1, 7, 1, 1), (9, 7, 1, 1), {}),
    "image_of_one_pixel_padded": ((1, 7, 1, 1), (9, 7, 3, 3), {"pads": [1] * 4}),
    "image_of_one_row": ((1, 5, 1, 12), (6, 5, 1, 3), {}),
    "kernel_of_the_image": ((1, 6, 5, 7), (8, 6, 5, 7), {}),
    "large_kernel": ((1, 2, 20, 19), (3, 2, 17, 15), {}),
    "one_channel_in_and_out": ((1, 1, 8, 8), (1, 1, 3, 3), {"pads": [1] * 4}),
    "many_channels": ((1, 260, 3, 3), (130, 260, 1, 1), {}),
    "odd_channels": ((1, 17, 5, 5), (33, 17, 3, 3), {"pads": [1] * 4}),
    "groups_2": ((1, 8, 6, 6), (10, 4, 3, 3), {"group": 2}),
    "groups_of_odd_size": ((1, 9, 6, 6), (15, 3, 3, 3), {"group": 3, "pads": [1] * 4}),
    "groups_of_17": ((1, 34, 4, 4), (34, 17, 1, 1), {"group": 2}),
    "depthwise_7x7": ((1, 10, 9, 9), (10, 1, 7, 7), {"group": 10, "pads": [3] * 4}),
    "depthwise_stride_3": ((1, 18, 9, 9), (18, 1, 3, 3), {"group": 18, "strides": [3, 3]}),
    "depthwise_dilated": ((1, 6, 9, 9), (6, 1, 3, 3), {"group": 6, "dilations": [2, 3]}),
    "depthwise_multiplier_2": ((1, 5, 7, 7), (10, 1, 3, 3), {"group": 5, "pads": [1] * 4}),
    "depthwise_multiplier_3_stride": (
        (1, 4, 7, 7),
        (12, 1, 3, 3),
        {"group": 4, "strides": [2, 2]},
    ),
    "depthwise_1x1": ((1, 16, 4, 4), (16, 1, 1, 1), {"group": 16}),
    "one_dimension": ((1, 6, 17), (5, 6, 3), {"pads": [1, 1]}),
    "one_dimension_stride": ((1, 6, 17), (5, 6, 4), {"strides": [3], "pads": [0, 2]}),
    "one_dimension_dilated": ((1, 6, 17), (5, 6, 3), {"dilations": [4]}),
    "one_dimension_depthwise": ((1, 6, 17), (6, 1, 5), {"group": 6, "pads": [2, 2]}),
    "batch_3": ((3, 4, 6, 5), (5, 4, 3, 3), {"pads": [1] * 4}),
    **{
        f"{auto.lower()}_kernel_{k}_stride_{s}": (
            (1, 4, 10, 7),
            (5, 4, k, k),
            {"auto_pad": auto, "strides": [s, s]},
        )
        for auto, k, s in itertools.product(("SAME_UPPER", "SAME_LOWER"), (2, 3), (1, 2, 3))
    },
    "valid": ((1, 4, 10, 7), (5, 4, 3, 3), {"auto_pad": "VALID", "strides": [2, 2]}),
    "same_upper_depthwise": ((1, 4, 9, 9), (4, 1, 4, 4), {"group": 4, "auto_pad": "SAME_UPPER"}),
}


def _model(name: str) -> tuple[Model, str]:
    shape, weights, attrs = GEOMETRIES[name]
    m = Model({"x": shape})
    return m, m.conv("x", weights, **attrs)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_float_convolutions_compute_what_onnxruntime_computes(name):
    check_float(*_model(name))


@pytest.mark.parametrize("name", GEOMETRIES)
def test_int8_convolutions_stay_within_the_budget_of_their_formats(name):
    check_budget(*_model(name), "c0", axis=0)


@settings(PROPERTY, max_examples=40)
@given(data=st.data())
def test_any_geometry_that_onnx_allows_is_computed(data):
    draw = data.draw
    kernel = [draw(st.integers(1, 5)) for _ in range(2)]
    strides = [draw(st.integers(1, 4)) for _ in range(2)]
    dilations = [draw(st.integers(1, 3)) for _ in range(2)]
    pads = [draw(st.integers(0, 3)) for _ in range(4)]
    size = [draw(st.integers(1, 12)) for _ in range(2)]
    group = draw(st.sampled_from([1, 1, 2, 3]))
    inputs, outputs = group * draw(st.integers(1, 5)), group * draw(st.integers(1, 5))
    for d in range(2):
        assume(size[d] + pads[d] + pads[2 + d] >= (kernel[d] - 1) * dilations[d] + 1)
    m = Model({"x": (1, inputs, *size)})
    attrs = {"strides": strides, "dilations": dilations, "pads": pads, "group": group}
    bias = draw(st.booleans())
    t = m.conv("x", (outputs, inputs // group, *kernel), bias=bias, **attrs)
    check_float(m, t)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 32, 33, 64])
def test_channel_counts_around_the_vector_widths_are_within_budget(channels):
    m = Model({"x": (1, channels, 4, 5)})
    check_budget(m, m.conv("x", (channels + 1, channels, 3, 3), pads=[1] * 4), "c0", axis=0)


def test_a_channels_last_model_as_converters_write_it():
    """The form of tf2onnx: a Transpose before and after every convolution."""
    m = Model({"x": (1, 9, 8, 3)})
    t = "x"
    for outputs, inputs in ((8, 3), (6, 8), (5, 6)):
        t = m.add("Transpose", t, perm=[0, 3, 1, 2])
        t = m.add("Relu", m.conv(t, (outputs, inputs, 3, 3), auto_pad="SAME_UPPER"))
        t = m.add("Transpose", t, perm=[0, 2, 3, 1])
    found = check_float(m, t)
    (segment,) = found.file.variant["segments"]
    assert segment["inputs"][0]["perm"] == [0, 1, 2, 3]
    assert segment["outputs"][0]["perm"] == [0, 1, 2, 3]
    assert found.file.variant["inputs"][0]["layout"] == "NHWC"
    assert found.file.variant["outputs"][0]["layout"] == "NHWC"


def test_bias_add_and_scale_in_channels_last_order_are_computed():
    m = Model({"x": (1, 6, 7, 4)})
    t = m.conv(m.add("Transpose", "x", perm=[0, 3, 1, 2]), (5, 4, 3, 3), bias=False)
    t = m.add("Add", m.add("Transpose", t, perm=[0, 2, 3, 1]), m.random(5))
    check_float(m, m.add("Relu", m.add("Mul", t, m.random(1, 1, 5))))


def test_a_kernel_that_is_computed_at_run_time_stays_on_the_cpu():
    m = Model({"x": (1, 4, 6, 6), "w": (3, 4, 3, 3)})
    check_float(m, m.add("Conv", "x", "w"), cpu=["Conv"])


def test_volumes_stay_on_the_cpu():
    m = Model({"x": (1, 2, 4, 5, 6)})
    check_float(m, m.conv("x", (3, 2, 2, 2, 2)), cpu=["Conv"])


@pytest.mark.parametrize("act", ["Relu", "LeakyRelu", "Sigmoid", "HardSwish", "Tanh"])
def test_a_fused_activation_has_the_budget_of_the_sum_times_its_slope(act):
    """All of these have a slope of at most 1.5; a float output adds no rounding of its own."""
    m = Model({"x": (1, 6, 5, 5)})
    t = m.conv("x", (7, 6, 3, 3))
    model, plain = m.build(m.add(act, t)), m.build(t)
    data = m.feed(4)
    found = compiled(model, calibration=data, quantize=PLAIN)
    assert [layer.op for layer in found.report.layers] == ["Conv"]
    feed = {"x": data["x"][0]}
    sums = compiled(plain, calibration=data, quantize=PLAIN)
    budget = 1.5 * linear_budget(sums, feed, "c0", 0) + 1e-5
    assert (np.abs(found.run(feed)[0] - reference(model, feed)[0]) <= budget).all()


@pytest.mark.parametrize("outer", [False, True])
def test_a_relu6_pair_in_int8_never_leaves_its_bounds(outer):
    m = Model({"x": (1, 6, 5, 5)})
    t = m.add("Clip", m.conv("x", (7, 6, 3, 3)), m.const(0.0), m.const(1.0))
    if outer:
        t = m.conv(t, (3, 7, 1, 1))
    data = m.feed(4)
    found = compiled(m.build(t), calibration=data)
    (have,) = found.run({"x": 10 * data["x"][0]})
    if not outer:
        assert have.min() >= 0.0
        assert have.max() <= 1.0
    assert np.isfinite(have).all()
