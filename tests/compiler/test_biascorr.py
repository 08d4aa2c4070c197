"""Bias correction: exact on constant inputs, which is its model of the world."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maccel_aio.compiler.biascorr import bias_correction


@given(st.sampled_from([1, 2, 4]), st.integers(1, 3), st.integers(1, 3), st.integers(0, 99))
def test_correction_removes_the_error_on_a_constant_image(
    groups: int, per_group: int, outputs: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    exact = rng.normal(size=(groups * outputs, 3, 2, per_group))
    rounded = np.round(exact * 4) / 4
    mean = rng.normal(size=groups * per_group)
    correction = bias_correction(exact, rounded, mean)
    for o in range(groups * outputs):
        x = mean[(o // outputs) * per_group :][:per_group]
        assert correction[o] == pytest.approx(((exact[o] - rounded[o]) * x).sum(), abs=1e-9)


def test_exact_weights_need_no_correction() -> None:
    weights = np.ones((2, 1, 1, 3))
    assert not bias_correction(weights, weights, np.ones(3)).any()


@pytest.mark.parametrize(
    ("exact", "rounded", "mean"),
    [((2, 1, 1, 3), (2, 1, 1, 2), 3), ((2, 3), (2, 3), 3), ((2, 1, 1, 3), (2, 1, 1, 3), 4)],
)
def test_shapes_that_do_not_fit_are_refused(
    exact: tuple[int, ...], rounded: tuple[int, ...], mean: int
) -> None:
    with pytest.raises(ValueError, match=r"fit|twice"):
        bias_correction(np.ones(exact), np.ones(rounded), np.ones(mean))


def test_outputs_must_fit_the_groups() -> None:
    with pytest.raises(ValueError, match="groups"):
        bias_correction(np.ones((3, 1, 1, 1)), np.ones((3, 1, 1, 1)), np.ones(2))
