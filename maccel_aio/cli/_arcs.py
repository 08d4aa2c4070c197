"""A graph as dots on a line with arcs above: SVG that follows the page's colours."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from maccel_aio.compiler.report import LayerReport

_WIDTH, _MARGIN, _TALL = 1000.0, 22.0, 150.0
_BASE = _TALL - 34.0
_LEAST, _MOST = 2.5, 13.0
"""Radii of dots."""


def arcs(layers: Sequence[LayerReport], seconds: Mapping[int, float]) -> str:
    """Return the picture.

    Args:
        layers: in the order in which they run; `reads` are the arcs.
        seconds: time by the number of a layer; where there is none at all, work counts.
    """
    places = {layer.index: _place(k, len(layers)) for k, layer in enumerate(layers)}
    size = {one.index: seconds.get(one.index, 0.0) if seconds else one.macs for one in layers}
    most = max(size.values(), default=0.0) or 1.0
    return "\n".join(
        [
            f'<svg class="roofline" viewBox="0 0 {_WIDTH:.0f} {_TALL:.0f}" role="img">',
            "<title>layers and what reads them</title>",
            *_edges(layers, places),
            *(_dot(one, places[one.index], size[one.index] / most) for one in layers),
            *_ticks(layers, places),
            "</svg>",
        ]
    )


def _place(k: int, count: int) -> float:
    return _MARGIN + (_WIDTH - 2 * _MARGIN) * (k / (count - 1) if count > 1 else 0.5)


def _edges(layers: Sequence[LayerReport], places: Mapping[int, float]) -> Iterator[str]:
    for layer in layers:
        for source in layer.reads:
            left, right = places[source], places[layer.index]
            height = min(_BASE - 12.0, 10.0 + (right - left) * 0.5)
            if layer.index - source == 1:
                yield f'<path class="edge" d="M{left:.1f} {_BASE:.1f}H{right:.1f}"/>'
            else:
                top = _BASE - height
                yield (
                    f'<path class="edge" d="M{left:.1f} {_BASE:.1f}C{left:.1f} {top:.1f} '
                    f'{right:.1f} {top:.1f} {right:.1f} {_BASE:.1f}"/>'
                )


def _dot(layer: LayerReport, x: float, share: float) -> str:
    radius = _LEAST + (_MOST - _LEAST) * math.sqrt(min(max(share, 0.0), 1.0))
    noise = "" if layer.sqnr_device_db is None else f", {layer.sqnr_device_db:.1f} dB"
    title = escape(f"#{layer.index} {layer.name}: {layer.op}, {layer.precision}{noise}")
    return (
        f'<circle class="node {escape(layer.precision)}" cx="{x:.1f}" cy="{_BASE:.1f}" '
        f'r="{radius:.1f}"><title>{title}</title></circle>'
    )


def _ticks(layers: Sequence[LayerReport], places: Mapping[int, float]) -> Iterator[str]:
    every = max(1, len(layers) // 12)
    for layer in layers[::every]:
        x = places[layer.index]
        yield (
            f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{_TALL - 8:.1f}">'
            f"{layer.index}</text>"
        )
