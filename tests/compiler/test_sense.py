"""What tensors cost alone."""

import numpy as np
import pytest

from maccel_aio.compiler.sense import Sensed, sense
from maccel_aio.compiler.units import FINE, Choice, Rung, Unit

LOUD, CLIPPED, QUIET = (Unit(name, 0.3, 0.3, (f"{name}-layer",)) for name in "abc")


def measure(choice: Choice) -> np.ndarray:
    """Noise of two outputs that adds up; one unit is best with 0.62 of its range."""
    noise = np.full(2, 1e-6)
    for unit, loud in ((LOUD, 1e-2), (CLIPPED, 4e-2), (QUIET, 1e-9)):
        rung = choice[unit]
        if rung.wide:
            continue
        part = 0.5 if rung.weight_bits > 8 else 1.0
        narrow = 1 + 20 * (rung.keep - 0.62) ** 2 if unit is CLIPPED else 2 - rung.keep
        noise = noise + loud * part * narrow
    return noise


def found() -> Sensed:
    return sense([LOUD, CLIPPED, QUIET], measure)


def test_costs_are_shares_of_what_8_bits_make() -> None:
    costs = found().costs()
    assert list(costs) == [CLIPPED, LOUD, QUIET]
    assert sum(costs.values()) == pytest.approx(1.0)


def test_a_narrower_range_is_kept_only_where_it_is_much_better() -> None:
    sensed = found()
    assert sensed.keep == {LOUD: 1.0, CLIPPED: 0.62, QUIET: 1.0}
    assert set(sensed.gains) == {CLIPPED}


def test_wide_weights_are_measured_with_that_range() -> None:
    sensed = found()
    words = sensed.of(CLIPPED, Rung("u8", 16, 0.62))
    assert words is not None
    np.testing.assert_allclose(words, 0.02, rtol=1e-9)
    assert sensed.of(QUIET, Rung("u8", 16)) is None
    np.testing.assert_array_equal(sensed.of(LOUD, FINE), 0.0)
