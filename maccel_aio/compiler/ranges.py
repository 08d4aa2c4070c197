"""From observed ranges to scales and zero points."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from maccel_aio.compiler.preprocess import Preprocess

S16_MAX = 32767
_SMALLEST_SCALE = 1e-12
_S16_HEADROOM = 1.25


def affine_u8(low: float, high: float) -> tuple[float, int]:
    """Return (scale, zero) with ``real = (q - zero) * scale``, q in 0..255.

    Zero is always representable exactly. Min-max: no calibrator that clips wins across models.

    Args:
        low: smallest observed value.
        high: largest observed value.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / 255.0, _SMALLEST_SCALE)
    zero = int(np.clip(np.rint(-low / scale), 0, 255))
    # The rounded zero shifts the window by up to half a step: widen so that both ends stay inside.
    if zero > 0:
        scale = max(scale, -low / zero)
    if zero < 255:
        scale = max(scale, high / (255 - zero))
    return float(np.float32(scale)), zero


def symmetric_s16(low: float, high: float) -> float:
    """Return the scale of a signed 16-bit tensor (zero point 0).

    There is a quarter of headroom: at 16 bits it costs a third of a bit, and unseen samples
    exceed the calibrated range.
    """
    largest = max(abs(low), abs(high)) * _S16_HEADROOM
    return float(np.float32(max(largest / S16_MAX, _SMALLEST_SCALE)))


def pixel_u8(how: Preprocess) -> tuple[float, int]:
    """Return (scale, zero) of an input that is fed with preprocessed u8 pixels.

    With the same integer mean and deviation for all channels, device values are the pixels
    themselves; else the smallest window that holds all channels.
    """
    if how.uniform and how.mean[0] == math.floor(how.mean[0]) and 0 <= how.mean[0] <= 255:
        return float(np.float32(1.0 / how.std[0])), int(how.mean[0])
    low = min((0 - m) / s for m, s in zip(how.mean, how.std, strict=True))
    high = max((255 - m) / s for m, s in zip(how.mean, how.std, strict=True))
    return affine_u8(low, high)
