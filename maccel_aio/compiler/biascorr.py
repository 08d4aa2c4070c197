"""Analytic bias correction: the mean error that rounded weights cause, taken out of the bias."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def bias_correction(
    exact: NDArray[np.floating], rounded: NDArray[np.floating], mean: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return ``sum (exact - rounded) * E[x]`` per output channel, to be added to the bias.

    A near zero-sum filter (most depthwise ones) sees a large constant input: rounding its weights
    moves the whole output by a constant, which this removes. Padding is ignored: border pixels
    are few.

    Args:
        exact: float weights ``[o, kh, kw, i]``, `i` input channels per group.
        rounded: what the device computes with, same shape, dequantised.
        mean: mean of the input per channel, ``[groups * i]``.

    Returns:
        f64 ``[o]``.

    Raises:
        ValueError: the shapes do not belong together.
    """
    if exact.shape != rounded.shape or exact.ndim != 4:
        raise ValueError(f"weights {exact.shape} and {rounded.shape} are not [o, kh, kw, i] twice")
    outputs, _, _, per_group = exact.shape
    if len(mean) % per_group:
        raise ValueError(f"{len(mean)} input means do not fit groups of {per_group} channels")
    groups = len(mean) // per_group
    if outputs % groups:
        raise ValueError(f"{outputs} outputs do not fit {groups} groups")
    error = (exact.astype(np.float64) - rounded.astype(np.float64)).sum(axis=(1, 2))
    by_group = np.asarray(mean, np.float64).reshape(groups, per_group)
    correction: NDArray[np.float64] = np.einsum(
        "goi,gi->go", error.reshape(groups, outputs // groups, per_group), by_group
    ).ravel()
    return correction
