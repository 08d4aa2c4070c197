"""The rule by which a classic call finds its variant and layout, and checks its outputs."""

from typing import Any

import numpy as np
import pytest

from maccel_aio.compat._shared import shapes

IMAGE = (224, 224, 3)
ROWS = [
    (IMAGE, IMAGE, True), ((1, *IMAGE), IMAGE, True), ((8, *IMAGE), IMAGE, True),
    ((0, *IMAGE), IMAGE, True), ((1, 1, *IMAGE), IMAGE, False), ((224, 224), IMAGE, False),
    ((3, 224, 224), IMAGE, False), ((448, 224, 3), IMAGE, False), ((5, 1, 7), (-1, 1, 7), True),
    ((6, 1, 7), (-3, 1, 7), True), ((5, 1, 7), (-3, 1, 7), False), ((0, 1, 7), (-3, 1, 7), True),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected", "result"), ROWS)
def test_an_array_fits_or_not(given: Any, expected: Any, result: bool) -> None:
    assert shapes.fits(given, expected) is result


def test_hwc_wins_where_both_fit_and_a_wish_is_honoured() -> None:
    index, layouts = shapes.find_variant([(3, 3, 3)], [[IMAGE], [(3, 3, 3)]])
    assert (index, layouts) == (1, shapes.Layouts(hwc=True, chw=True))
    assert layouts.choose(None)
    assert not layouts.choose(False)
    _, layouts = shapes.find_variant([(4, 3, 224, 224)], [[IMAGE]])
    assert not layouts.choose(None)
    with pytest.raises(ValueError, match=r"^Input shape is invalid\.$"):
        layouts.choose(True)


@pytest.mark.parametrize("given", [[], [IMAGE, IMAGE], [(7,)], [(224, 3, 224)]])
def test_what_fits_no_variant_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"^Input shape is invalid\.$"):
        shapes.find_variant(given, [[IMAGE]])


def test_inputs_of_two_layouts_do_not_mix() -> None:
    assert shapes.find_layouts([IMAGE, (3, 224, 224)], [IMAGE, IMAGE]) is None


def test_outputs_are_checked() -> None:
    dtype = np.dtype(np.float32)
    shapes.check_outputs([np.zeros((1000, 1, 2), dtype)], [(1000, 1, 2)], dtype)
    for outputs, text in (
        ([], "The number of outputs is different."),
        ([np.zeros((1000, 1, 2))], "Output dtype mismatch."),
        ([np.zeros((1, 2, 1000), dtype)], "Output shape mismatch."),
    ):
        with pytest.raises(ValueError, match=text):
            shapes.check_outputs(outputs, [(1000, 1, 2)], dtype)
