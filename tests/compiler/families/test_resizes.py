"""Resize: every way to map coordinates and to round them, from scales and from sizes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
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

IMAGE = (1, 4, 6, 7)
COORDINATES = (
    "half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric",
)  # fmt: skip
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
SCALES = {"double": (2.0, 2.0), "triple": (3.0, 1.0), "half": (0.5, 0.5), "uneven": (1.3, 0.7)}


def _add(
    m: Model, x: str, *, scales: Any = None, sizes: Any = None, roi: str = "", **attrs: Any
) -> str:
    if sizes is None:
        return str(m.add("Resize", x, roi, m.const(np.array(scales, np.float32)), **attrs))
    return str(m.add("Resize", x, roi, "", m.const(sizes, np.int64), **attrs))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("how", COORDINATES)
def test_linear_scales(how, scale):
    m = Model({"x": IMAGE}, opset=19)
    attrs = {"mode": "linear", "coordinate_transformation_mode": how}
    check_float(m, _add(m, "x", scales=[1, 1, *SCALES[scale]], **attrs))


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("how", COORDINATES)
def test_nearest_scales(how, rounding):
    for scale in SCALES.values():
        m = Model({"x": IMAGE}, opset=19)
        attrs = {"coordinate_transformation_mode": how, "nearest_mode": rounding}
        check_float(m, _add(m, "x", scales=[1, 1, *scale], mode="nearest", **attrs))


@pytest.mark.parametrize("sizes", [(12, 14), (3, 3), (1, 1), (7, 6), (6, 7), (13, 1)])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_sizes(mode, sizes):
    for how in COORDINATES:
        m = Model({"x": IMAGE}, opset=19)
        t = _add(m, "x", sizes=[1, 4, *sizes], mode=mode, coordinate_transformation_mode=how)
        check_float(m, m.add("Relu", t))


def test_the_classic_mode_of_tensorflow_for_nearest():
    m = Model({"x": IMAGE}, opset=11)
    empty = m.const(np.zeros(0, np.float32))
    scales = m.const(np.array([1, 1, 2, 2], np.float32))
    how: Any = {"coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor"}
    check_float(m, m.add("Resize", "x", empty, scales, mode="nearest", **how))


def test_a_region_of_interest_that_no_mode_uses_is_ignored():
    m = Model({"x": IMAGE})
    region = m.const(np.array([0, 0, 0.2, 0.2, 1, 1, 0.8, 0.8], np.float32))
    check_float(m, _add(m, "x", scales=[1, 1, 2, 2], roi=region, mode="linear"))


def test_cropping_is_left_to_the_cpu():
    m = Model({"x": IMAGE})
    region = m.const(np.array([0, 0, 0.2, 0.2, 1, 1, 0.8, 0.8], np.float32))
    how = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}
    check_float(m, _add(m, "x", scales=[1, 1, 2, 2], roi=region, **how), cpu=["Resize"])


@pytest.mark.parametrize(
    "attrs",
    [
        {"mode": "cubic"},
        {"mode": "linear", "antialias": 1},
    ],
)
def test_what_the_npu_has_no_table_for_is_left_to_the_cpu(attrs):
    m = Model({"x": IMAGE}, opset=18)
    check_float(m, _add(m, "x", scales=[1, 1, 0.5, 0.5], **attrs), cpu=["Resize"])


def test_channels_and_batch_are_not_resized_on_the_npu():
    m = Model({"x": IMAGE})
    t = _add(m, "x", scales=[1, 2, 1, 1], mode="nearest")
    model, feed = m.build(t), m.feed()
    assert_same(compiled(model).run(feed), reference(model, feed))


def test_axes_name_what_the_scales_are_for():
    m = Model({"x": IMAGE}, opset=18)
    t = _add(m, "x", scales=[2.0, 2.0], mode="nearest", axes=[2, 3])
    model, feed = m.build(t), m.feed()
    assert_same(compiled(model).run(feed), reference(model, feed))


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_a_kept_aspect_ratio(policy):
    m = Model({"x": IMAGE}, opset=18)
    t = _add(m, "x", sizes=[12, 12], mode="nearest", axes=[2, 3], keep_aspect_ratio_policy=policy)
    model, feed = m.build(t), m.feed()
    assert_same(compiled(model).run(feed), reference(model, feed))


@pytest.mark.parametrize("opset", [9, 10])
@pytest.mark.parametrize("scales", [(2.0, 2.0), (3.0, 2.0)])
def test_the_operators_before_coordinate_modes(opset, scales):
    m = Model({"x": IMAGE}, opset=opset)
    op = "Upsample" if opset == 9 else "Resize"
    for mode in ("nearest", "linear"):
        t = m.add(op, "x", m.const(np.array([1, 1, *scales], np.float32)), mode=mode)
        m2 = Model({"x": IMAGE}, opset=opset)
        m2.nodes, m2.weights = [m.nodes[-1]], m.weights
        check_float(m2, t)


@settings(PROPERTY, max_examples=60)
@given(data=st.data())
def test_any_size_in_any_mode(data):
    draw = data.draw
    shape = (1, draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    sizes = [1, shape[1], draw(st.integers(1, 18)), draw(st.integers(1, 18))]
    mode = draw(st.sampled_from(["nearest", "linear"]))
    attrs = {
        "mode": mode,
        "coordinate_transformation_mode": draw(st.sampled_from(COORDINATES)),
        "nearest_mode": draw(st.sampled_from(ROUNDINGS)),
    }
    m = Model({"x": shape}, opset=19)
    model = m.build(m.add("Relu", _add(m, "x", sizes=sizes, **attrs)))
    feed = m.feed()
    assert_same(compiled(model).run(feed), reference(model, feed))


@pytest.mark.parametrize(
    ("mode", "scale"), list(itertools.product(("nearest", "linear"), ((2.0, 2.0), (0.5, 1.7))))
)
def test_resizing_moves_no_more_than_its_input(mode, scale):
    m = Model({"x": (1, 18, 5, 6)}, opset=19)
    check_smooth(m, _add(m, "x", scales=[1, 1, *scale], mode=mode))


def test_nearest_between_convolutions_copies_codes():
    m = Model({"x": IMAGE})
    t = m.conv("x", (20, 4, 1, 1))
    t = _add(m, t, scales=[1, 1, 2, 2], mode="nearest")
    out = m.conv(t, (4, 20, 3, 3))
    found = compiled(m.build(out), calibration=m.feed(8), measure=4)
    assert {layer.precision for layer in found.report.layers} == {"int8"}
    assert found.report.output_sqnr_device_db[out] > 28
