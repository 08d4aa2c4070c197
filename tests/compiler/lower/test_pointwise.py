"""Pointwise and binary operators, against onnxruntime."""

from pathlib import Path

import numpy as np
import pytest

from maccel_aio.compiler.ir import Activation, Node
from maccel_aio.compiler.lower.pointwise import binary_table
from maccel_aio.compiler.view import Buffer, View
from tests.compiler.operators import check_float, check_int8, family


@pytest.mark.parametrize("name", family("pointwise"))
def test_float_programs_compute_what_onnxruntime_computes(name: str, tmp_path: Path) -> None:
    check_float(name, tmp_path)


@pytest.mark.parametrize("name", family("pointwise"))
def test_int8_programs_are_near_onnxruntime(name: str, tmp_path: Path) -> None:
    check_int8(name, tmp_path)


@pytest.mark.parametrize(
    ("op", "value", "function"),
    [("Pow", -0.75, np.power), ("Mul", -2.0, np.multiply), ("Sub", 1.0, np.subtract)],
)
def test_a_number_and_an_activation_are_one_table(op, value, function) -> None:
    view = View(Buffer(1), (1,), (1,), "u8", 0.05, 0)
    out = View(Buffer(1), (1,), (1,), "u8", 0.02, 100)
    node = Node(op, "n", ["x", "c"], ["y"], act=Activation("clamp", -1.0, 1.5))
    with np.errstate(divide="ignore"):
        real = np.clip(function(0.05 * np.arange(256), value), -1.0, 1.5)
    want = np.clip(np.rint(real / 0.02) + 100, 0, 255)
    np.testing.assert_array_equal(binary_table(node, view, out, value), want)
