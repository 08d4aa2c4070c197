"""The report of a bench: one HTML file that needs nothing else, for a screen or for paper."""

from __future__ import annotations

import os
import platform
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from maccel_aio.cli._console import size_text, time_text
from maccel_aio.cli._layers import LayerFigure, Total
from maccel_aio.cli._measure import Figures, Spread
from maccel_aio.cli._report_style import STYLE
from maccel_aio.cli._roofline import roofline

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from maccel_aio import DeviceInfo, Manifest, Peaks

_ROOFS = {
    "compute": "arithmetic",
    "L2": "reads of the second level cache",
    "L3": "reads of the third level cache",
    "DRAM": "reads of memory",
}


class Run(NamedTuple):
    """What a bench found."""

    name: str
    device: DeviceInfo
    manifest: Manifest
    figures: Figures
    layers: Sequence[LayerFigure]
    peaks: Peaks


def report(run: Run) -> str:
    """Return the page. It loads nothing and runs no script."""
    title = escape(f"{run.name}: speed")
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>",
            f"<h1>{escape(run.name)}</h1>",
            f'<p class="sub">{escape(_subtitle(run))}</p>',
            *_tiles(run.figures),
            *_layer_sections(run),
            *_machine(run),
            "</main>\n</body>\n</html>\n",
        ]
    )


def _subtitle(run: Run) -> str:
    macs = sum(layer.macs for layer in run.manifest.layers)
    inputs = ", ".join(
        f"{spec.name} {'x'.join(map(str, spec.shape))}" for spec in run.manifest.variants[0].inputs
    )
    return (
        f"{macs / 1e6:,.1f} M multiply-accumulates in {len(run.manifest.layers)} layers; {inputs}"
    )


def _tiles(figures: Figures) -> Iterator[str]:
    values = {f"latency {name}": time_text(v) for name, v in figures.percentiles().items()}
    values["throughput"] = f"{Spread.of(figures.throughput).median:,.1f} /s"
    values["speed run"] = f"{Spread.of(figures.speedrun).median:,.1f} /s"
    values["efficiency"] = f"{figures.efficiency:.0%}"
    if figures.peer_s:
        values["onnxruntime p50"] = time_text(Spread.of(figures.peer_s).median)
        values["faster than it"] = f"{figures.peer_ratio().median:.2f} x"
    yield '<dl class="tiles">'
    for name, value in values.items():
        yield f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
    yield "</dl>"


def _layer_sections(run: Run) -> Iterator[str]:
    if not run.layers:
        yield "<p>This device does not tell the times of layers.</p>"
        return
    total = Total.of(run.layers)
    yield "<h2>Where the time goes</h2>"
    yield (
        f"<p>One core, one request at a time: {time_text(total.seconds)} in {len(run.layers)} "
        f"layers, {2 * total.macs / total.seconds / 1e9:.0f} GOPS, {total.peak_share:.0%} of the "
        f"arithmetic peak. If every layer reached its roof it would take "
        f"{time_text(total.seconds * total.roof_share)}.</p>"
    )
    yield from _strip(run.layers)
    yield "<h2>Roofline</h2>"
    yield roofline(run.layers, run.peaks)
    yield from _legend(run.layers)
    yield "<h2>Layers</h2>"
    yield from _table(run.layers, total)


def _strip(layers: Sequence[LayerFigure]) -> Iterator[str]:
    """Yield all layers side by side, each as wide as its share of the time."""
    yield '<div class="strip">'
    for one in layers:
        title = escape(f"#{one.layer} {one.name}: {one.share:.1%}, {one.roof}")
        width = f"flex-grow:{one.share:.5f}"
        yield f'<i class="{one.roof.lower()}" style="{width}" title="{title}"></i>'
    yield "</div>"


def _legend(layers: Sequence[LayerFigure]) -> Iterator[str]:
    yield '<ul class="legend">'
    for roof, text in _ROOFS.items():
        share = sum(one.share for one in layers if one.roof == roof)
        yield f'<li><i class="{roof.lower()}"></i>{text}: {share:.0%} of the time</li>'
    rest = [one for one in layers if not one.macs]
    yield "</ul>"
    text = (
        "A dot is a layer: its area is its share of the time, its colour the roof that it hangs "
        "under, a ring is a float layer. A layer's memory roof is that of the nearest level that "
        "could hold all that it moves; inputs, weights and outputs count once for each call."
    )
    if rest:
        share = sum(one.share for one in rest)
        text += f" Not drawn: {len(rest)} without multiply-accumulates, {share:.1%} of the time."
    yield f'<p class="note">{text}</p>'


_HEADINGS = (
    ("#", "n"), ("layer", ""), ("operator", ""), ("time", "n"), ("share", ""), ("GOPS", "n"),
    ("of peak", "n"), ("moved", "n"), ("GB/s", "n"), ("of its roof", ""),
)  # fmt: skip


def _table(layers: Sequence[LayerFigure], total: Total) -> Iterator[str]:
    yield '<div class="scroll"><table>\n<thead><tr>'
    yield "".join(f'<th class="{kind}">{text}</th>' for text, kind in _HEADINGS)
    yield "</tr></thead>\n<tbody>"
    most = max(one.share for one in layers) or 1.0
    for one in layers:
        yield "<tr>" + "".join(_cells(one, most)) + "</tr>"
    rate = 2 * total.macs / total.seconds / 1e9 if total.seconds else 0.0
    speed = total.bytes_moved / total.seconds / 1e9 if total.seconds else 0.0
    yield (
        f"</tbody>\n<tfoot><tr><td></td><td>all layers</td><td></td>"
        f'<td class="n">{time_text(total.seconds)}</td><td></td><td class="n">{rate:.0f}</td>'
        f'<td class="n">{total.peak_share:.0%}</td>'
        f'<td class="n">{size_text(total.bytes_moved)}</td><td class="n">{speed:.1f}</td>'
        f"<td>{total.roof_share:.0%}</td></tr></tfoot>\n</table></div>"
    )


def _cells(one: LayerFigure, most: float) -> Iterator[str]:
    op = one.op if one.precision == "int8" else f"{one.op} {one.precision}"
    computes = one.macs > 0
    yield f'<td class="n">{one.layer}</td><td class="name">{escape(one.name)}</td>'
    yield f'<td>{escape(op)}</td><td class="n">{time_text(one.seconds.median)}</td>'
    yield _bar(one.share / most, f"{one.share:.1%}", "share")
    yield f'<td class="n">{one.ops_per_s / 1e9:.0f}</td>' if computes else '<td class="n">-</td>'
    yield f'<td class="n">{one.peak_share:.0%}</td>' if computes else '<td class="n">-</td>'
    yield f'<td class="n">{size_text(one.bytes_moved)}</td>'
    yield f'<td class="n">{one.bytes_per_s / 1e9:.1f}</td>'
    yield _bar(one.roof_share, f"{one.roof_share:.0%} {one.roof}", one.roof.lower())


def _bar(share: float, text: str, kind: str) -> str:
    width = min(max(share, 0.0), 1.0)
    return (
        f'<td><span class="bar"><i class="{kind}" style="width:{width:.1%}"></i></span> '
        f"{escape(text)}</td>"
    )


def _machine(run: Run) -> Iterator[str]:
    import maccel_aio

    peaks, device = run.peaks, run.device
    facts = {
        "processor": f"{processor_name()}, {os.cpu_count()} CPUs",
        "caches": f"L2 {peaks.l2_bytes >> 10} KiB, L3 {peaks.l3_bytes >> 20} MiB",
        "instruction set": peaks.isa,
        "int8 peak": f"{peaks.int8_ops / 1e9:.0f} GOPS a core",
        "float32 peak": f"{peaks.f32_ops / 1e9:.0f} GOPS a core",
        "reads": f"L2 {peaks.l2_read / 1e9:.0f}, L3 {peaks.l3_read / 1e9:.0f}, "
        f"DRAM {peaks.dram_read / 1e9:.0f} GB/s a core",
        "device": f"{device.name}, {device.workers} cores at a time",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"maccel_aio {maccel_aio.__version__}",
    }
    yield "<h2>Machine</h2>"
    yield from _facts(facts)
    yield (
        '<p class="note">The limits were measured on one core just before the layers: '
        "the best of many short runs.</p>"
    )


def _facts(facts: Mapping[str, str]) -> Iterator[str]:
    yield '<dl class="facts">'
    for name, value in facts.items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
    yield "</dl>"


def processor_name() -> str:
    """Return what the processor calls itself, or at least its architecture."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()
