"""A roofline as an SVG picture: layers by work per byte and speed, under the limits of one core.

The model is that of Williams, Waterman and Patterson, "Roofline: an insightful visual performance
model for multicore architectures" (2009): speed <= min(peak, bytes a second * operations a byte).
Colours are classes, which the page that holds the picture defines.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from maccel_aio import Peaks
    from maccel_aio.cli._layers import LayerFigure

_WIDTH, _HEIGHT = 960, 560
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 18, 48
_HEAD = (
    f'<svg class="roofline" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
    'aria-label="Roofline: speed of each layer over its operations per byte">'
)
#: Radius of a dot that is all the time; the area is the share.
_WHOLE_RADIUS, _LEAST_RADIUS = 56.0, 3.0
#: Layers with at least this share of the time carry their number.
_NAMED_SHARE = 0.04


class Axes(NamedTuple):
    """Where values lie in the picture; both axes are logarithms."""

    x0: float
    x1: float
    y0: float
    y1: float

    @classmethod
    def around(cls, figures: Sequence[LayerFigure], peaks: Peaks) -> Axes:
        """Return axes with room for the layers, and for the corner of every roof."""
        xs = [one.intensity for one in figures]
        ys = [one.ops_per_s for one in figures]
        slowest = min(peaks.l2_read, peaks.l3_read, peaks.dram_read)
        left = min(1.0, *xs) / 1.5 if xs else 0.5
        right = max(1.5 * peaks.int8_ops / slowest, *(1.6 * x for x in xs)) if xs else 100.0
        low = min([*ys, peaks.f32_ops / 4]) / 1.6
        high = 1.6 * max([*ys, peaks.int8_ops, peaks.f32_ops])
        return cls(math.log10(left), math.log10(right), math.log10(low), math.log10(high))

    def x(self, value: float) -> float:
        """Return the place of so many operations per byte."""
        part = (math.log10(value) - self.x0) / (self.x1 - self.x0)
        return _LEFT + part * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Return the place of so many operations a second."""
        part = (math.log10(value) - self.y0) / (self.y1 - self.y0)
        return _HEIGHT - _BOTTOM - part * (_HEIGHT - _TOP - _BOTTOM)


def roofline(figures: Sequence[LayerFigure], peaks: Peaks) -> str:
    """Return the picture as an SVG element; layers without multiply-accumulates are not in it."""
    drawn = [one for one in figures if one.macs > 0 and one.bytes_moved > 0 and one.ops_per_s > 0]
    axes = Axes.around(drawn, peaks)
    frame = (_LEFT, _TOP, _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM)
    parts = [
        _HEAD,
        '<clipPath id="inside"><rect x="{}" y="{}" width="{}" height="{}"/></clipPath>'.format(
            *frame
        ),
        *_grid(axes),
        '<g clip-path="url(#inside)">',
        *_roofs(axes, peaks),
        *(_dot(axes, one) for one in sorted(drawn, key=lambda one: -one.share)),
        "</g>",
        *_numbers(axes, drawn),
        "</svg>",
    ]
    return "\n".join(parts)


def _ticks(low: float, high: float) -> Iterator[float]:
    """Yield 1, 2 and 5 of every decade between two logarithms."""
    for decade in range(math.floor(low), math.ceil(high) + 1):
        for step in (1, 2, 5):
            value = step * 10.0**decade
            if low <= math.log10(value) <= high:
                yield value


def _grid(axes: Axes) -> Iterator[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for value in _ticks(axes.x0, axes.x1):
        x = axes.x(value)
        yield f'<path class="grid" d="M{x:.1f} {_TOP}V{bottom}"/>'
        yield _text("tick", x, bottom + 17, "middle", f"{value:g}")
    for value in _ticks(axes.y0 - 9, axes.y1 - 9):
        y = axes.y(value * 1e9)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>'
        yield _text("tick", _LEFT - 8, y + 4, "end", f"{value:g}")
    yield _text("axis", (_LEFT + right) / 2, _HEIGHT - 8, "middle", "operations per byte moved")
    yield (
        f'<text class="axis" transform="translate(15 {(_TOP + bottom) / 2}) rotate(-90)" '
        'text-anchor="middle">GOPS</text>'
    )


def _roofs(axes: Axes, peaks: Peaks) -> Iterator[str]:
    levels = (("L2", peaks.l2_read), ("L3", peaks.l3_read), ("DRAM", peaks.dram_read))
    slopes = sorted(levels, key=lambda level: -level[1])
    for place, (name, speed) in enumerate(slopes):
        yield _slope(axes, name, speed, peaks.int8_ops, above=place == 0)
    for name, speed in (("int8", peaks.int8_ops), ("float32", peaks.f32_ops)):
        y, start = axes.y(speed), axes.x(speed / slopes[0][1])
        tone = "compute" if name == "int8" else "compute soft"
        yield f'<path class="roof {tone}" d="M{start:.1f} {y:.1f}H{_WIDTH}"/>'
        text = f"{name} peak {speed / 1e9:.0f} GOPS"
        yield _text("label", _WIDTH - _RIGHT - 8, y - 6, "end", text)


def _slope(axes: Axes, name: str, speed: float, peak: float, *, above: bool) -> str:
    """Return the line of one memory level, from the left edge to where arithmetic is the limit."""
    left = 10**axes.x0
    x0, y0, x1, y1 = axes.x(left), axes.y(left * speed), axes.x(peak / speed), axes.y(peak)
    angle = math.degrees(math.atan2(y1 - y0, x1 - x0))
    visible = max(left, 10**axes.y0 / speed)  # where the line enters the picture
    at = 10 ** (0.4 * math.log10(visible) + 0.6 * math.log10(peak / speed))
    return (
        f'<path class="roof {name.lower()}" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>'
        f'<text class="label" text-anchor="middle" transform="translate({axes.x(at):.1f} '
        f'{axes.y(at * speed):.1f}) rotate({angle:.1f}) translate(0 {-7 if above else 16})">'
        f"{name} {speed / 1e9:.0f} GB/s</text>"
    )


def _radius(share: float) -> float:
    return max(_WHOLE_RADIUS * math.sqrt(share), _LEAST_RADIUS)


def _dot(axes: Axes, one: LayerFigure) -> str:
    title = (
        f"#{one.layer} {one.name} ({one.op}, {one.precision})\n"
        f"{one.seconds.median * 1e6:.1f} us, {one.share:.1%} of the time\n"
        f"{one.ops_per_s / 1e9:.0f} GOPS, {one.peak_share:.0%} of the {one.precision} peak\n"
        f"{one.bytes_per_s / 1e9:.1f} GB/s, {one.intensity:.1f} operations per byte\n"
        f"under the {one.roof} roof, at {one.roof_share:.0%} of it"
    )
    kind = " hollow" if "float" in one.precision else ""
    return (
        f'<circle class="dot {one.roof.lower()}{kind}" cx="{axes.x(one.intensity):.1f}" '
        f'cy="{axes.y(one.ops_per_s):.1f}" r="{_radius(one.share):.1f}">'
        f"<title>{escape(title)}</title></circle>"
    )


def _numbers(axes: Axes, figures: Sequence[LayerFigure]) -> Iterator[str]:
    for one in figures:
        if one.share >= _NAMED_SHARE:
            x, y = axes.x(one.intensity), axes.y(one.ops_per_s)
            yield _text("number", x, y + 4, "middle", str(one.layer))


def _text(kind: str, x: float, y: float, anchor: str, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
