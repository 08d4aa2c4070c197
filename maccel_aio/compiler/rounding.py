"""Rounding of weights that lets the error of one make up for the errors of others.

Rounding to nearest makes the error of every weight small. What counts is the error of the output:
with the rows x of an input and the errors e of one output's weights it is
``E[(x . e)^2] = e H e``, ``H = E[x x^T]`` (Frantar et al., "GPTQ: Accurate Post-Training
Quantization for Generative Pre-trained Transformers", 2022). Inputs that vary together let errors
cancel. GPTQ rounds each weight once, in a fixed order; here coordinate descent starts at the
nearest codes and moves one weight at a time to the best code that the others leave it, so that no
step makes the error larger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from maccel_aio.compiler.ir import Node

    Floats = NDArray[np.float64]

MOST_INPUTS = 2048
"""The covariance of so many takes 32 MiB; layers with more inputs are rounded to nearest."""
_MOST_ROWS = 4096
_SWEEPS = 3
_BLOCK = 64
_DAMPING = 0.3
"""Of the mean variance, added to each: rows are few, and what they never show may still come."""


def is_compensated(node: Node) -> bool:
    """Whether rows of single positions are all that a layer reads.

    So it is of linear layers and convolutions without window and groups. Windows would have to be
    kept along with the rows; depthwise filters have too few weights to make up for one another.
    """
    if node.weights is None or node.op not in ("Linear", "Conv"):
        return False
    _, inputs, height, width = node.weights.kernel.shape
    single = height == width == 1 and int(node.attrs.get("group", 1)) == 1
    return single and 1 < inputs <= MOST_INPUTS


def sample_rows(rows: Sequence[NDArray[np.floating[Any]]]) -> Floats | None:
    """Return at most `_MOST_ROWS` rows at even distances, f64 ``[n, i]``; None if there are none.

    Args:
        rows: per sample, ``[k, i]``.
    """
    if not rows:
        return None
    every = -(-sum(map(len, rows)) // _MOST_ROWS)
    return np.concatenate(rows)[::every].astype(np.float64)


def compensated_codes(
    weights: NDArray[np.floating[Any]], step: Floats, rows: Floats, top: int, *, centred: bool
) -> Floats:
    """Return codes whose outputs err no more on `rows` than those of the nearest codes.

    Deterministic: the order of the inputs is the order of the weights.

    Args:
        weights: ``[o, i]``.
        step: real value of one code, positive, ``[o]``.
        rows: of the input, ``[n, i]``, n > 0.
        top: largest absolute code.
        centred: whether the mean error does not count, as it is taken out of the bias.

    Returns:
        Whole numbers, f64 ``[o, i]``.
    """
    exact = weights.astype(np.float64) / step[:, None]
    nearest: Floats = np.clip(np.rint(exact), -top, top)
    seen = rows - rows.mean(axis=0) if centred else rows
    moment: Floats = seen.T @ seen / len(seen)
    inputs = len(moment)
    damped = moment + np.eye(inputs) * (_DAMPING * np.trace(moment) / inputs)
    moved = _descend(exact, nearest, damped, top)
    better = _errors(moved - exact, moment) <= _errors(nearest - exact, moment)
    return np.where(better[:, None], moved, nearest)


def _errors(difference: Floats, moment: Floats) -> Floats:
    """Return ``e H e`` of each output, ``[o]``."""
    found: Floats = np.einsum("oi,oi->o", difference @ moment, difference)
    return found


def _descend(exact: Floats, start: Floats, moment: Floats, top: int) -> Floats:
    """Return codes after coordinate descent; inputs that never vary keep their codes.

    Gradients of the inputs of a block are kept up to date step by step, those of others once a
    block, as one matrix product.
    """
    codes = start.copy()
    slope = (codes - exact) @ moment
    own = np.diag(moment)
    for _ in range(_SWEEPS):
        before = codes.copy()
        for first in range(0, len(own), _BLOCK):
            block = slice(first, min(first + _BLOCK, len(own)))
            old, inside = codes[:, block].copy(), slope[:, block].copy()
            for k in np.flatnonzero(own[block] > 0):
                column = codes[:, first + k]
                wanted = np.clip(np.rint(column - inside[:, k] / own[first + k]), -top, top)
                inside += np.outer(wanted - column, moment[first + k, block])
                codes[:, first + k] = wanted
            slope += (codes[:, block] - old) @ moment[block]
        if np.array_equal(codes, before):
            break
    return codes
