"""Integer weights, biases and scales of one convolution, within the bounds of the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.biascorr import bias_correction
from maccel_aio.compiler.rounding import compensated_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from maccel_aio.compiler.ir import Array, FloatStorage

_BIAS_ROOM = 2.0**29
_SUM_ROOM = 1.4 * 2.0**30
"""Of an s32 accumulator, whose limit is 2**31. It binds 16-bit images only."""

_SMALLEST_SCALE = 1e-30


@dataclass(frozen=True)
class InputFormat:
    """The device format of a convolution's input: ``real = (q - zero) * scale``.

    Attributes:
        low: smallest value that q can have.
        high: largest value that q can have.
    """

    scale: float
    zero: int
    low: int = 0
    high: int = 255

    @property
    def reach(self) -> int:
        """Largest absolute value of ``q`` or ``q - zero``: what one product can see."""
        return max(abs(self.low), abs(self.high), self.high - self.zero, self.zero - self.low)


@dataclass(frozen=True)
class ConvNumbers:
    """What a convolution computes with: ``real = (bias + sum (q - zero) * weights) * scale``.

    Attributes:
        weights: s8 or s16, ``[o, kh, kw, i]``.
        bias: s32 ``[o]``; holds the correction, but not the term of the zero point.
        scale: f64 ``[o]``, accumulator units to real units.
        bound: f64 ``[o]``, largest absolute accumulator that any input can cause, with or without
            the term of the zero point.
        correction: f64 ``[o]``, what bias correction added, in real units.
    """

    weights: NDArray[np.int8] | NDArray[np.int16]
    bias: NDArray[np.int32]
    scale: NDArray[np.float64]
    bound: NDArray[np.float64]
    correction: NDArray[np.float64]

    def dequantised(self, x: InputFormat) -> NDArray[np.float64]:
        """Return the float weights that these integers stand for, ``[o, kh, kw, i]``."""
        step = self.scale / float(np.float32(x.scale))
        return self.weights * step[:, None, None, None]


def weight_scale(
    weights: NDArray[np.floating],
    bias: NDArray[np.floating],
    x: InputFormat,
    bits: int = 8,
    wanted: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """Return the scale of each output channel, f64 ``[o]``.

    It is the wanted one, or the largest weight over the largest code; raised where a bias would
    not fit an accumulator (as of a channel without weights), or where a sum could overflow.

    Args:
        weights: ``[o, kh, kw, i]``.
        bias: ``[o]``, real units.
        x: the input's format.
        bits: of a weight, 8 or 16.
        wanted: scales that are given, ``[o]``.
    """
    top = 2 ** (bits - 1) - 1
    flat = np.abs(weights.reshape(len(weights), -1).astype(np.float64))
    scale = flat.max(axis=1) / top if wanted is None else np.asarray(wanted, np.float64)
    for_bias = np.abs(bias.astype(np.float64)) / (x.scale * _BIAS_ROOM)
    reach = x.reach + abs(x.zero)
    rounding = flat.shape[1] * reach / 2.0  # by which codes may be larger than weights
    for_sum = flat.sum(axis=1) * reach / max(_SUM_ROOM - rounding, _SUM_ROOM / 2)
    found: NDArray[np.float64] = np.maximum.reduce(
        [scale, for_bias, for_sum, np.full(len(weights), _SMALLEST_SCALE)]
    )
    return found


def quantise_conv(
    weights: NDArray[np.floating],
    bias: NDArray[np.floating] | None,
    x: InputFormat,
    *,
    mean: NDArray[np.floating] | None = None,
    scale: NDArray[np.floating] | None = None,
    bits: int = 8,
    rows: NDArray[np.float64] | None = None,
) -> ConvNumbers:
    """Return the integers of one convolution.

    Args:
        weights: float ``[o, kh, kw, i]``, `i` input channels per group.
        bias: float ``[o]`` or None.
        x: the input's format.
        mean: mean of the input per channel ``[groups * i]``, for bias correction; None: no
            correction.
        scale: weight scales ``[o]`` that are given; None: from the weights.
        bits: of a weight, 8 or 16.
        rows: of the input of a 1x1 convolution without groups, ``[n, i]``: 8-bit weights are
            rounded so that errors compensate each other; None: to nearest.
    """
    outputs = len(weights)
    exact_bias = np.zeros(outputs) if bias is None else bias.astype(np.float64)
    step = weight_scale(weights, exact_bias, x, bits, scale)
    top = 2 ** (bits - 1) - 1
    low = -top if scale is None else -top - 1
    codes = np.clip(np.rint(weights / step[:, None, None, None]), low, top)
    if rows is not None and scale is None and bits == 8:
        flat = weights.reshape(outputs, -1)
        codes = compensated_codes(flat, step, rows, top, centred=mean is not None)
        codes = codes.reshape(weights.shape)
    rounded = codes * step[:, None, None, None]
    nothing = np.zeros(outputs)
    correction = nothing if mean is None else bias_correction(weights, rounded, mean)
    unit = float(np.float32(x.scale)) * step
    integer = np.rint((exact_bias + correction) / unit)
    magnitude = np.abs(codes).reshape(outputs, -1).sum(axis=1)
    return ConvNumbers(
        codes.astype(np.int8) if bits == 8 else codes.astype(np.int16),
        np.clip(integer, -(2**31), 2**31 - 1).astype(np.int32),
        unit,
        np.abs(integer) + magnitude * (x.reach + abs(x.zero)),
        correction,
    )


def stored_float(values: Array, storage: FloatStorage) -> Array:
    """Return float weights as a constant of the program.

    Args:
        values: float, any shape.
        storage: ``"f32"`` gives float32; ``"bf16"`` the bits of bfloat16 as uint16, rounded to
            nearest, ties to even, and to the largest finite number instead of infinity.
    """
    single = np.ascontiguousarray(values, np.float32)
    if storage == "f32":
        return single
    bits = single.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    full = (rounded & 0x7F80) == 0x7F80
    return np.where(full, (rounded & 0x8000) | 0x7F7F, rounded).astype(np.uint16)
