"""The pointwise functions of the NPU in float64 numpy, as mxq.h defines them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from maccel_aio.compiler.ir import Activation

    Floats = NDArray[np.float64]
    Function = Callable[[Floats, float, float], Floats]

FLOAT_MAX = float(np.finfo(np.float32).max)


def erf(x: Floats) -> Floats:
    """Return the error function of every element."""
    flat = np.asarray(x, np.float64)
    values = np.fromiter((math.erf(v) for v in flat.ravel()), np.float64, flat.size)
    return values.reshape(flat.shape)


def sigmoid(x: Floats) -> Floats:
    """Return ``1 / (1 + exp(-x))`` without overflow."""
    result: Floats = 0.5 * (1.0 + np.tanh(0.5 * x))
    return result


def softplus(x: Floats) -> Floats:
    """Return ``log(1 + exp(x))`` without overflow."""
    result: Floats = np.logaddexp(0.0, x)
    return result


def _gelu_tanh(x: Floats, _a: float, _b: float) -> Floats:
    inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)
    result: Floats = 0.5 * x * (1.0 + np.tanh(inner))
    return result


FUNCTIONS: dict[str, Function] = {
    "none": lambda x, _a, _b: x,
    "clamp": lambda x, a, b: np.minimum(np.maximum(x, a), b),
    "leaky": lambda x, a, _b: np.where(x < 0, x * a, x),
    "sigmoid": lambda x, _a, _b: sigmoid(x),
    "hardsigmoid": lambda x, a, b: np.clip(x * a + b, 0.0, 1.0),
    "hardswish": lambda x, a, b: x * np.clip(x * a + b, 0.0, 1.0),
    "silu": lambda x, _a, _b: x * sigmoid(x),
    "tanh": lambda x, _a, _b: np.tanh(x),
    "gelu_erf": lambda x, _a, _b: 0.5 * x * (1.0 + erf(x / math.sqrt(2.0))),
    "gelu_tanh": _gelu_tanh,
    "elu": lambda x, a, _b: np.where(x < 0, a * np.expm1(np.minimum(x, 0.0)), x),
    "softplus": lambda x, _a, _b: softplus(x),
    "exp": lambda x, _a, _b: np.exp(x),
    "log": lambda x, _a, _b: np.log(x),
    "sqrt": lambda x, _a, _b: np.sqrt(x),
    "reciprocal": lambda x, _a, _b: 1.0 / x,
    "abs": lambda x, _a, _b: np.abs(x),
    "neg": lambda x, _a, _b: -x,
    "erf": lambda x, _a, _b: erf(x),
    "mish": lambda x, _a, _b: x * np.tanh(softplus(x)),
    "floor": lambda x, _a, _b: np.floor(x),
    "ceil": lambda x, _a, _b: np.ceil(x),
    "round": lambda x, _a, _b: np.rint(x),
    "sin": lambda x, _a, _b: np.sin(x),
    "cos": lambda x, _a, _b: np.cos(x),
    "square": lambda x, _a, _b: x * x,
    "rsqrt": lambda x, _a, _b: 1.0 / np.sqrt(x),
}
"""Every kind but ``prelu``, which needs a channel: (values, a, b) -> values."""


def evaluate(act: Activation, x: NDArray[np.floating]) -> Floats:
    """Return ``act(x)`` in float64; ``prelu`` slopes belong to the last dimension of `x`."""
    values = np.asarray(x, np.float64)
    if act.kind == "prelu" and act.slope is not None:
        return np.where(values < 0, values * act.slope, values)
    with np.errstate(all="ignore"):
        return FUNCTIONS[act.kind](values, act.a, act.b)
