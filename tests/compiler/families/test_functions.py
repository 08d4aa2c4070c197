"""Pointwise functions in int8: no worse than their steepest slope times half a step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.compiler.families.harness import PLAIN, check_smooth, compiled, reference
from tests.compiler.onnx_models import Model

IMAGE = (1, 18, 5, 5)

SLOPES: dict[str, tuple[float, int, dict[str, Any]]] = {
    # operator: (largest slope anywhere, operator set, attributes)
    "Relu": (1.0, 17, {}),
    "LeakyRelu": (1.0, 17, {"alpha": 0.2}),
    "Sigmoid": (0.25, 17, {}),
    "HardSigmoid": (0.3, 17, {"alpha": 0.3}),
    "HardSwish": (1.5, 17, {}),
    "Tanh": (1.0, 17, {}),
    "Elu": (1.0, 17, {"alpha": 0.7}),
    "Softplus": (1.0, 17, {}),
    "Abs": (1.0, 17, {}),
    "Neg": (1.0, 17, {}),
    "Erf": (2 / np.pi**0.5, 17, {}),
    "Sin": (1.0, 17, {}),
    "Cos": (1.0, 17, {}),
    "Mish": (1.1, 18, {}),
    "Gelu": (1.13, 20, {}),
}


@pytest.mark.parametrize("op", SLOPES)
def test_an_error_of_the_input_grows_by_the_slope_only(op):
    slope, opset, attrs = SLOPES[op]
    m = Model({"x": IMAGE}, opset)
    # The device's polynomials are within a few units in the last place: far below a step.
    found = check_smooth(m, m.add(op, "x", **attrs), slope, extra=1e-5)
    assert found.step() > 0


@pytest.mark.parametrize("op", SLOPES)
def test_a_table_between_codes_adds_half_a_step_of_its_output(op):
    """The function's result is stored in 8 bits and read by a convolution that passes it on."""
    slope, opset, attrs = SLOPES[op]
    m = Model({"x": IMAGE}, opset)
    unit = m.const(np.eye(18, dtype=np.float32)[:, :, None, None])
    act = m.add(op, "x", **attrs)
    model = m.build(m.add("Conv", act, unit), act)
    data = m.feed(4)
    plain = m.build(m.add("Conv", act, unit))
    found = compiled(plain, calibration=data, quantize=PLAIN)
    assert all(layer.precision == "int8" for layer in found.report.layers)
    for k in range(4):
        feed = {"x": data["x"][k]}
        (have,), want = found.run(feed), reference(model, feed)[1]
        seen = np.stack([reference(model, {"x": x})[1] for x in data["x"]])
        step = (max(seen.max(), 0) - min(seen.min(), 0)) / 255 * 1.01
        budget = slope * found.step() / 2 + step / 2 + 1e-5 * (1 + np.abs(want).max())
        assert np.abs(have - want).max() <= budget


@pytest.mark.parametrize("slope", [0.0, 0.25, -0.5])
def test_one_slope_for_all_or_one_for_each_channel(slope):
    for values in (np.full(1, slope), np.linspace(slope, 0.9, 18)[:, None, None]):
        m = Model({"x": IMAGE})
        check_smooth(m, m.add("PRelu", "x", m.const(values)), 1.0)


@pytest.mark.parametrize("op", ["Sqrt", "Log", "Reciprocal", "Exp"])
def test_steep_functions_are_bounded_by_their_slope_on_the_range(op):
    """The input is kept in [0.5, 3], where the slope of these is at most exp(3)."""
    m = Model({"x": IMAGE})
    kept = m.add("Clip", "x", m.const(0.5), m.const(3.0))
    slope = {"Sqrt": 0.71, "Log": 2.0, "Reciprocal": 4.0, "Exp": float(np.exp(3))}[op]
    # What is between the clip and the function may be stored again: one more half step.
    check_smooth(m, m.add(op, kept), slope, extra=slope * 3.0 / 255 * 0.51)
