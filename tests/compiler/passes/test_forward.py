"""Numbers behind an activation go into the weights of the convolutions that read them."""

import numpy as np

from tests.compiler.families.harness import check_float
from tests.compiler.onnx_models import Model
from tests.compiler.passes.graphs import IMAGE, ops, passed


def _affine(m: Model, x: str) -> str:
    y = m.add("Mul", m.add("HardSwish", x), m.const(np.float32(0.7)))
    return str(m.add("Add", m.const(np.float32(-0.3)), y))


def test_scale_and_shift_go_into_convolutions_without_padding():
    m = Model({"x": IMAGE})
    y = _affine(m, m.conv("x", (8, 6, 1, 1)))
    outs = (m.conv(y, (4, 8, 3, 3)), m.conv(y, (5, 8, 1, 1)))
    assert ops(passed(m, *outs, simplify=False)) == ["Conv"] * 3
    check_float(m, *outs)


def test_a_shift_stays_in_front_of_padding_but_lets_the_scale_through():
    m = Model({"x": IMAGE})
    y = _affine(m, m.conv("x", (8, 6, 1, 1)))
    out = m.conv(y, (8, 1, 3, 3), pads=[1] * 4, group=8)
    assert ops(passed(m, out, simplify=False)) == ["Conv", "Add", "Conv"]
    check_float(m, out)


def test_a_tensor_that_others_read_keeps_its_arithmetic():
    m = Model({"x": IMAGE})
    y = _affine(m, m.conv("x", (8, 6, 1, 1)))
    outs = (m.conv(y, (4, 8, 1, 1)), m.add("Relu", y))
    assert ops(passed(m, *outs, simplify=False)).count("Mul") == 1
    check_float(m, *outs)
