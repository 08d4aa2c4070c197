"""Splits one axis of a transposed convolution into ordinary ones (sub-pixel decomposition).

Output pixel ``o`` collects the taps ``k`` for which ``o + pad - k * dilation`` is a multiple of the
stride. Outputs with the same ``o % stride`` see the same taps, at input pixels that move with them:
an ordinary convolution of stride 1 that writes every ``stride``-th output.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Phase:
    """One group of outputs along one axis.

    Attributes:
        offset: first output pixel.
        step: distance of its output pixels.
        count: number of its output pixels.
        taps: kernel indices in the order of input pixels; empty if no tap meets the group.
        dilation: distance of the input pixels of neighbouring taps.
        start: first input pixel that is read.
        size: number of input pixels from there.
        before: padding before them.
        after: padding after them.
    """

    offset: int
    step: int
    count: int
    taps: tuple[int, ...]
    dilation: int
    start: int
    size: int
    before: int
    after: int

    def without_taps(self, size: int) -> Phase:
        """Return the same outputs for a 1x1 kernel over an axis of `size` input pixels."""
        used = min(size, self.count)
        rest = self.count - used
        return replace(self, taps=(), dilation=1, start=0, size=used, before=0, after=rest)


def phases(size: int, out: int, kernel: int, stride: int, dilation: int, pad: int) -> list[Phase]:
    """Return the groups of one axis that together make every output pixel once.

    Args:
        size: input pixels.
        out: output pixels.
        kernel: taps.
        stride: of the transposed convolution.
        dilation: of the kernel.
        pad: output pixels that are cut off at the beginning.
    """
    return [
        _phase(size, out, first, stride, _taps(kernel, stride, dilation, first + pad), dilation)
        for first in range(min(stride, out))
    ]


def _taps(kernel: int, stride: int, dilation: int, shift: int) -> list[tuple[int, int]]:
    """Return (input offset, tap) of the taps that meet outputs with this shift, by offset."""
    found = [
        ((shift - k * dilation) // stride, k)
        for k in range(kernel)
        if (shift - k * dilation) % stride == 0
    ]
    return sorted(found)


def _phase(
    size: int, out: int, first: int, stride: int, taps: list[tuple[int, int]], dilation: int
) -> Phase:
    count = -(-(out - first) // stride)
    if taps and (taps[0][0] >= size or count - 1 + taps[-1][0] < 0):
        taps = []  # all of them read padding
    low, high = (taps[0][0], taps[-1][0]) if taps else (0, 0)
    # Input pixels begin .. end are read; those outside the image are padding.
    begin, end = low, count - 1 + high
    start, stop = max(begin, 0), min(end, size - 1)
    return Phase(
        first,
        stride,
        count,
        tuple(k for _, k in taps),
        dilation // math.gcd(dilation, stride),
        start,
        stop - start + 1,
        start - begin,
        end - stop,
    )
