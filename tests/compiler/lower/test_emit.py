"""Epilogues and the joining of dimensions."""

import math

import pytest

from maccel_aio.compiler.ir import Activation
from maccel_aio.compiler.isa import Act
from maccel_aio.compiler.lower.emit import ACT_SLOT, by_memory, code_range, epilogue
from maccel_aio.compiler.pointwise import FLOAT_MAX
from maccel_aio.compiler.view import Buffer, View
from tests.compiler.operators import FAMILIES, family

RELU = Activation("clamp", 0.0, FLOAT_MAX)


def _view(dtype, scale=1.0, zero=0, dims=(2, 3), strides=(3, 1)) -> View:
    return View(Buffer(64), dims, strides, dtype, scale, zero)


def test_a_clamp_becomes_the_limits_of_the_codes():
    tail = epilogue(_view("u8", 0.5, 10), Activation("clamp", -2.0, 6.0))
    assert (tail.ints[12], tail.ints[13]) == (6, 22)
    assert ACT_SLOT not in tail.ints
    assert (tail.unit, tail.floats[3]) == (2.0, 1.0)


def test_a_clamp_before_a_residual_stays_an_activation_in_output_units():
    tail = epilogue(_view("u8", 0.5, 10), Activation("clamp", 0.0, 6.0), keep_clamp=True)
    assert tail.ints[ACT_SLOT] == Act.CLAMP
    assert (tail.floats[0], tail.floats[1]) == (0.0, 12.0)
    assert (tail.ints[12], tail.ints[13]) == (0, 255)


def test_an_open_clamp_is_infinite():
    assert epilogue(_view("f32"), RELU).floats[1] == math.inf


@pytest.mark.parametrize("kind", ["sigmoid", "silu", "tanh"])
def test_functions_see_real_values(kind):
    tail = epilogue(_view("u8", 0.25), Activation(kind))
    assert (tail.unit, tail.floats[3]) == (1.0, 4.0)


def test_codes_of_floats_are_not_limited():
    assert code_range(_view("f32"), RELU) == (0, 0)
    assert code_range(_view("s16", 0.1), RELU) == (0, 32767)


def test_dimensions_join_where_all_views_allow_it():
    dense = _view("u8")
    (joined,) = by_memory([dense])
    assert (joined.dims, joined.strides) == ((6,), (1,))
    apart = by_memory([_view("u8", strides=(16, 1)), dense])
    assert [view.dims for view in apart] == [(2, 3), (2, 3)]
    assert by_memory([dense], last=1)[0].dims == (2, 3)


def test_every_operator_case_belongs_to_a_family():
    from tests.compiler.cases import CASES

    assert sorted(name for key in FAMILIES for name in family(key)) == sorted(CASES)
