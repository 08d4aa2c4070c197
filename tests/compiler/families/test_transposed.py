"""Transposed convolutions: every stride, padding and output size that ONNX can ask for."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from maccel_aio.compiler import isa
from maccel_aio.compiler.isa import Op
from tests.compiler.families.harness import (
    PROPERTY,
    Compiled,
    check_budget,
    check_float,
    compiled,
)
from tests.compiler.onnx_models import Model

CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    # name: (input, weights [inputs, outputs / group, kh, kw], attributes)
    **{
        f"stride_{s}_kernel_{k}": ((1, 4, 5, 6), (4, 3, k, k), {"strides": [s, s]})
        for s, k in itertools.product((1, 2, 3, 4), (1, 2, 3, 4, 5))
    },
    **{
        f"stride_{s}x{t}": ((1, 4, 5, 6), (4, 3, 3, 4), {"strides": [s, t], "pads": [1] * 4})
        for s, t in ((1, 2), (2, 1), (3, 2), (1, 4))
    },
    **{
        f"output_padding_{a}{b}": (
            (1, 4, 5, 6),
            (4, 3, 3, 3),
            {"strides": [3, 3], "pads": [1] * 4, "output_padding": [a, b]},
        )
        for a, b in itertools.product((0, 1, 2), (0, 2))
    },
    **{
        f"dilation_{d}_stride_{s}": (
            (1, 4, 5, 6),
            (4, 3, 3, 2),
            {"strides": [s, s], "dilations": [d, d]},
        )
        for d, s in itertools.product((1, 2, 3), (1, 2, 3))
    },
    "pads_all_different": ((1, 4, 5, 6), (4, 3, 4, 5), {"strides": [2, 2], "pads": [0, 1, 2, 3]}),
    "pads_cut_whole_rows": ((1, 4, 5, 6), (4, 3, 2, 2), {"strides": [2, 2], "pads": [3, 3, 3, 3]}),
    "output_shape_smaller": (
        (1, 4, 5, 6),
        (4, 3, 3, 3),
        {"strides": [2, 2], "output_shape": [10, 12]},
    ),
    "output_shape_odd": ((1, 4, 5, 6), (4, 3, 4, 4), {"strides": [2, 2], "output_shape": [11, 13]}),
    "output_shape_same_upper": (
        (1, 4, 5, 6),
        (4, 3, 4, 4),
        {"strides": [2, 2], "output_shape": [11, 13], "auto_pad": "SAME_UPPER"},
    ),
    **{
        f"{auto.lower()}_stride_{s}_kernel_{k}": (
            (1, 4, 5, 6),
            (4, 3, k, k),
            {"auto_pad": auto, "strides": [s, s]},
        )
        for auto, s, k in itertools.product(("SAME_UPPER", "SAME_LOWER"), (1, 2), (3, 4))
    },
    "valid": ((1, 4, 5, 6), (4, 3, 3, 3), {"auto_pad": "VALID", "strides": [2, 2]}),
    "groups_2": ((1, 6, 4, 5), (6, 4, 3, 3), {"group": 2, "strides": [2, 2]}),
    "groups_3_uneven": ((1, 6, 4, 5), (6, 1, 2, 3), {"group": 3, "strides": [2, 1]}),
    "depthwise": ((1, 7, 4, 5), (7, 1, 4, 4), {"group": 7, "strides": [2, 2], "pads": [1] * 4}),
    "depthwise_multiplier_2": ((1, 5, 4, 5), (5, 2, 3, 3), {"group": 5, "strides": [2, 2]}),
    "one_pixel": ((1, 8, 1, 1), (8, 5, 4, 4), {"strides": [1, 1]}),
    "one_dimension": ((1, 4, 9), (4, 3, 4), {"strides": [2], "pads": [1, 1]}),
    "one_dimension_output_padding": (
        (1, 4, 9),
        (4, 3, 3),
        {"strides": [3], "output_padding": [2]},
    ),
    "many_channels": ((1, 70, 3, 3), (70, 40, 2, 2), {"strides": [2, 2]}),
    "batch_2": ((2, 4, 3, 4), (4, 3, 3, 3), {"strides": [2, 2], "pads": [1] * 4}),
}


def _add(m: Model, weights: tuple[int, ...], attrs: dict[str, Any], *, bias: bool = True) -> str:
    names = [m.random(*weights, scale=0.4)]
    if bias:
        names.append(m.random(weights[1] * attrs.get("group", 1), scale=0.3))
    return str(m.add("ConvTranspose", "x", *names, **attrs))


def _model(name: str) -> tuple[Model, str]:
    shape, weights, attrs = CASES[name]
    m = Model({"x": shape})
    return m, _add(m, weights, attrs)


@pytest.mark.parametrize("name", CASES)
def test_float_programs_compute_what_onnxruntime_computes(name):
    check_float(*_model(name))


@pytest.mark.parametrize("name", CASES)
def test_int8_programs_stay_within_the_budget_of_their_formats(name):
    grouped = CASES[name][2].get("group", 1) > 1
    check_budget(*_model(name), "c0", axis=None if grouped else 1)


@settings(PROPERTY, max_examples=50)
@given(data=st.data())
def test_any_geometry_is_computed(data):
    draw = data.draw
    kernel, strides, dilations = (
        [draw(st.integers(1, top)) for _ in range(2)] for top in (5, 4, 3)
    )
    size = [draw(st.integers(1, 6)) for _ in range(2)]
    pads = [draw(st.integers(0, 3)) for _ in range(4)]
    extra = [draw(st.integers(0, strides[d] - 1)) for d in range(2)]
    group = draw(st.sampled_from([1, 1, 2, 3]))
    for d in range(2):
        span = (kernel[d] - 1) * dilations[d] + 1
        assume((size[d] - 1) * strides[d] + span + extra[d] - pads[d] - pads[2 + d] > 0)
    inputs = group * draw(st.integers(1, 4))
    weights = (inputs, draw(st.integers(1, 4)), *kernel)
    attrs = {
        "strides": strides,
        "dilations": dilations,
        "pads": pads,
        "output_padding": extra,
        "group": group,
    }
    m = Model({"x": (1, inputs, *size)})
    check_float(m, _add(m, weights, attrs, bias=draw(st.booleans())))


def test_pixels_that_no_tap_meets_hold_the_bias():
    m = Model({"x": (1, 2, 3, 3)})
    weights = m.random(2, 3, 1, 1)
    t = m.add("ConvTranspose", "x", weights, m.const([0.5, -1.0, 2.0]), strides=[3, 3])
    feed = m.feed()
    for found in (check_float(m, t, feed=feed), _int8(m, t)):
        (have,) = found.run(feed)
        have[:, :, ::3, ::3] = np.nan
        rest = have[~np.isnan(have)].reshape(3, -1)
        want = np.broadcast_to([[0.5], [-1.0], [2.0]], rest.shape)
        np.testing.assert_allclose(rest, want, rtol=0.02)


def _int8(m: Model, output: str):
    return compiled(m.build(output), calibration=m.feed(4))


@pytest.mark.parametrize("stride", [2, 3])
def test_activation_and_residual_follow_every_phase(stride):
    m = Model({"x": (1, 3, 4, 5), "y": (1, 4, 4 * stride, 5 * stride)})
    weights = m.random(3, 4, stride, stride)
    t = m.add("ConvTranspose", "x", weights, m.random(4), strides=[stride] * 2)
    check_float(m, m.add("Relu", m.add("Add", t, "y")))


@pytest.mark.parametrize("act", ["Relu", "Sigmoid", "HardSwish", "Identity"])
@pytest.mark.parametrize("outputs", [1, 3, 15, 16])
def test_blocks_of_few_channels_are_made_by_one_convolution(act, outputs):
    m = Model({"x": (2, 5, 4, 7)})
    t = m.add("ConvTranspose", "x", m.random(5, outputs, 2, 3), m.random(outputs), strides=[2, 3])
    out = m.add(act, t)
    feed = m.feed(4)
    found = compiled(m.build(out), calibration=feed, measure=2)
    assert found.report.output_sqnr_device_db[out] > 25
    check_float(m, out, feed=m.feed())
    assert _opcodes(found).count(Op.CONV) == (1 if outputs < 16 else 6)


def _opcodes(found: Compiled) -> list[int]:
    """Return the operations of the program of the only bundle."""
    (segment,) = found.file.variant["segments"]
    program = found.file.sections[segment["program"]]
    count = int(np.frombuffer(program, isa.PROGRAM_HEADER, 1)[0]["num_insns"])
    records = program[len(program) - count * isa.INSN.itemsize :]
    return [int(op) for op in np.frombuffer(records, isa.INSN)["op"]]


def test_a_decoder_joins_its_skip_connection_in_int8():
    m = Model({"x": (1, 3, 16, 16)})
    skip = m.add("Relu", m.conv("x", (8, 3, 3, 3), pads=[1] * 4))
    deep = m.add("Relu", m.conv(skip, (16, 8, 3, 3), strides=[2, 2], pads=[1] * 4))
    up = m.add("ConvTranspose", deep, m.random(16, 8, 2, 2, scale=0.2), strides=[2, 2])
    joined = m.add("Concat", up, skip, axis=1)
    out = m.conv(joined, (2, 16, 1, 1))
    data = m.feed(8)
    found = compiled(m.build(out), calibration=data, measure=4)
    assert found.report.output_sqnr_device_db[out] > 25
    assert found.on_cpu() == []
