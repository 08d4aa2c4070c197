"""Index tables of Resize."""

import numpy as np
import pytest

from maccel_aio.compiler.passes.resize import linear_table, nearest_table, source_positions
from maccel_aio.compiler.passes.rules import Unsupported


@pytest.mark.parametrize(
    ("mode", "positions"),
    [
        ("asymmetric", [0, 0.5, 1, 1.5]),
        ("half_pixel", [-0.25, 0.25, 0.75, 1.25]),
        ("align_corners", [0, 1 / 3, 2 / 3, 1]),
        ("tf_half_pixel_for_nn", [0.25, 0.75, 1.25, 1.75]),
    ],
)
def test_positions_of_a_doubled_pair(mode, positions):
    np.testing.assert_allclose(source_positions(mode, 4, 2, 2.0), positions, atol=1e-6)


def test_a_single_pixel_lies_at_the_beginning_in_pytorchs_mode():
    assert source_positions("pytorch_half_pixel", 1, 5, 0.2).tolist() == [0]


def test_modes_with_a_region_are_unsupported():
    with pytest.raises(Unsupported, match="tf_crop_and_resize"):
        source_positions("tf_crop_and_resize", 4, 2, 2.0)


def test_halves_are_rounded_as_the_mode_says():
    x = np.array([0.5, 1.5])
    rounded = {
        "round_prefer_floor": [0, 1], "round_prefer_ceil": [1, 2], "floor": [0, 1], "ceil": [1, 2]
    }  # fmt: skip
    for mode, want in rounded.items():
        assert nearest_table(mode, x, 3)[:, 0].tolist() == want


def test_linear_weights_are_clamped_to_the_image():
    table, weight = linear_table(np.array([-0.25, 0.25, 1.25]), 2)
    assert table.tolist() == [[0, 1], [0, 1], [1, 1]]
    assert weight.tolist() == [0, 0.25, 0]
