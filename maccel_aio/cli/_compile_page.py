"""The report of a compilation: one HTML file that needs nothing else, for a screen or for paper."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from maccel_aio.cli._arcs import arcs
from maccel_aio.cli._console import size_text, time_text
from maccel_aio.cli._report_style import STYLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from maccel_aio.cli._layer_costs import LayerCost
    from maccel_aio.compiler.report import CompileReport, LayerReport
    from maccel_aio.compiler.target import SearchReport

_LOW_DB = 15.0
_MOST_DB = 60.0
"""A bar of signal to noise is full here."""

_DEAREST = 12


def page(report: CompileReport, costs: Mapping[int, LayerCost]) -> str:
    """Return the page. It loads nothing and runs no script.

    Args:
        report: of the compilation.
        costs: by the number of a layer; layers that were not measured are left out.
    """
    title = escape(f"{report.name}: compiled")
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>",
            f"<h1>{escape(report.name)}</h1>",
            f'<p class="sub">{escape(_subtitle(report))}</p>',
            *_tiles(report, costs),
            *_warnings(report),
            "<h2>Graph</h2>",
            arcs(report.layers, {k: cost.seconds for k, cost in costs.items()}),
            *_legend(report),
            *_noise(report),
            "<h2>Layers</h2>",
            *_table(report, costs),
            *_steps(report),
            "</main>\n</body>\n</html>\n",
        ]
    )


def _subtitle(report: CompileReport) -> str:
    return (
        f"{report.macs / 1e6:,.1f} M multiply-accumulates in {len(report.layers)} layers, "
        f"calibrated by {report.samples} samples; {report.path}"
    )


def _tiles(report: CompileReport, costs: Mapping[int, LayerCost]) -> Iterator[str]:
    values = {"work in int8": f"{report.int8_share:.1%}", "on the NPU": f"{report.npu_share:.1%}"}
    known = report.output_sqnr_device_db.values()
    if known:
        values["worst output"] = f"{min(known):.1f} dB"
    if costs:
        values["layers, one core"] = time_text(math.fsum(cost.seconds for cost in costs.values()))
    values["file"] = size_text(report.file_bytes)
    values["memory a request"] = size_text(report.arena_bytes)
    values["compiled in"] = time_text(sum(report.seconds.values()))
    yield '<dl class="tiles">'
    for name, value in values.items():
        yield f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
    yield "</dl>"


def _warnings(report: CompileReport) -> Iterator[str]:
    for warning in report.warnings:
        yield f'<p class="warning">{escape(warning)}</p>'


def _legend(report: CompileReport) -> Iterator[str]:
    total = report.macs or 1
    yield '<ul class="legend">'
    for precision in dict.fromkeys(layer.precision for layer in report.layers):
        macs = sum(layer.macs for layer in report.layers if layer.precision == precision)
        kind = escape(precision)
        yield f'<li><i class="{kind}"></i>{kind}: {macs / total:.1%} of the work</li>'
    yield "</ul>"
    yield (
        '<p class="note">A dot is a layer, in the order in which they run: its area is its share '
        "of the time (of the work where no time was measured), its colour what it computes in. "
        "An arc leads from a layer to one that reads it later.</p>"
    )


def _noise(report: CompileReport) -> Iterator[str]:
    """Yield which layers and tensors cost accuracy."""
    dearest = report.dearest()[:_DEAREST]
    searched = report.search is not None and report.search.costs
    if dearest or searched:
        yield "<h2>What costs accuracy</h2>"
    for name, value in report.output_sqnr_device_db.items():
        yield f"<p>Output {escape(name)}: {value:.1f} dB against float.</p>"
    if dearest:
        yield '<p>The layers that add most noise to what they read:</p><ol class="dear">'
        for one in dearest:
            what = f"{one.name} ({one.op}, {one.precision})"
            yield f"<li>{escape(what)}: {one.sqnr_device_db:.1f} dB behind it</li>"
        yield "</ol>"
    if report.search is not None and searched:
        yield from _searched(report.search)


def _searched(search: SearchReport) -> Iterator[str]:
    yield (
        f"<p>The search tried {search.trials} programs; {search.wide:.1%} of the work reads more "
        'than 8 bits. What the 8 bits of each tensor alone would cost:</p><ol class="dear">'
    )
    for name, share in list(search.costs.items())[:_DEAREST]:
        layers = ", ".join(search.readers.get(name, ())) or "no layer with weights"
        yield f"<li>{escape(name)}: {share:.1%} of all noise, read by {escape(layers)}</li>"
    yield "</ol>"


_HEADINGS = (
    ("#", "n"), ("layer", ""), ("operator", ""), ("runs on", ""), ("precision", ""),
    ("MMACs", "n"), ("time", "n"), ("share", ""), ("weights", "n"), ("moved", "n"),
    ("SQNR dB", ""),
)  # fmt: skip


def _table(report: CompileReport, costs: Mapping[int, LayerCost]) -> Iterator[str]:
    total = math.fsum(cost.seconds for cost in costs.values()) or 1.0
    most = max((cost.seconds for cost in costs.values()), default=0.0) or 1.0
    yield '<div class="scroll"><table>\n<thead><tr>'
    yield "".join(f'<th class="{kind}">{text}</th>' for text, kind in _HEADINGS)
    yield "</tr></thead>\n<tbody>"
    for layer in report.layers:
        cells = "".join(_cells(layer, costs.get(layer.index), total, most))
        yield f"<tr>{cells}</tr>"
    yield "</tbody>\n</table></div>"


def _cells(layer: LayerReport, cost: LayerCost | None, total: float, most: float) -> Iterator[str]:
    where = f"{layer.where}: {layer.reason}" if layer.reason else layer.where
    precision = layer.precision if layer.bands == 1 else f"{layer.precision} x{layer.bands}"
    yield f'<td class="n">{layer.index}</td><td class="name">{escape(layer.name)}</td>'
    yield f"<td>{escape(layer.op)}</td><td>{escape(where)}</td><td>{escape(precision)}</td>"
    yield f'<td class="n">{layer.macs / 1e6:.2f}</td>' if layer.macs else '<td class="n">-</td>'
    if cost is None:
        yield '<td class="n">-</td><td>-</td>'
    else:
        yield f'<td class="n">{time_text(cost.seconds)}</td>'
        yield _bar(cost.seconds / most, f"{cost.seconds / total:.1%}", "share")
    yield f'<td class="n">{size_text(layer.weight_bytes)}</td>'
    yield f'<td class="n">{"-" if cost is None else size_text(cost.bytes_moved)}</td>'
    value = layer.sqnr_device_db
    if value is None:
        yield "<td>-</td>"
    else:
        yield _bar(value / _MOST_DB, f"{value:.1f}", "dram" if value < _LOW_DB else "l2")


def _bar(share: float, text: str, kind: str) -> str:
    width = min(max(share, 0.0), 1.0)
    return (
        f'<td><span class="bar"><i class="{kind}" style="width:{width:.1%}"></i></span> '
        f"{escape(text)}</td>"
    )


def _steps(report: CompileReport) -> Iterator[str]:
    yield '<h2>Compilation</h2>\n<dl class="facts">'
    for name, seconds in report.seconds.items():
        yield f"<dt>{escape(name)}</dt><dd>{seconds:.2f} s</dd>"
    yield "</dl>"
