"""What ``maccel-aio compile`` prints: the table of the layers, and what the whole came to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maccel_aio.cli._console import Column, size_text

if TYPE_CHECKING:
    from maccel_aio.cli._console import Cell, Console, Tone
    from maccel_aio.compiler.report import CompileReport, LayerReport
    from maccel_aio.compiler.search import SearchReport

_LOW_DB = 15.0
"""Layers below this stand out in the table."""

_DEAREST = 5

_COLUMNS = (
    Column("#", right=True),
    Column("layer"),
    Column("op"),
    Column("runs on"),
    Column("precision"),
    Column("MMACs", right=True),
    Column("weights", right=True),
    Column("SQNR dB", right=True),
)


def show(report: CompileReport, console: Console) -> None:
    """Print a report: of every variant the layer table, then what the whole came to."""
    for number, one in enumerate(report.variants or (report,)):
        _show(one, f", variant {number}" if report.variants else "", console)
    console.result(report.to_json())


def _show(report: CompileReport, which: str, console: Console) -> None:
    console.heading(f"{report.name}{which}: layers")
    console.table(_COLUMNS, [_row(layer) for layer in report.layers])
    if report.search is not None:
        console.heading("accuracy")
        console.fields(_accuracy(report.search))
    console.heading("result")
    console.fields(_overview(report))
    for warning in report.warnings:
        console.line(f"  warning: {warning}", "bad")


def _row(layer: LayerReport) -> list[Cell]:
    where = f"CPU: {layer.reason}" if layer.where == "cpu" else "NPU"
    return [
        str(layer.index),
        layer.name,
        layer.op,
        (where, "bad") if layer.where == "cpu" else where,
        layer.precision,
        f"{layer.macs / 1e6:.2f}" if layer.macs else ("-", "dim"),
        size_text(layer.weight_bytes) if layer.weight_bytes else ("-", "dim"),
        _decibel(layer.sqnr_device_db),
    ]


def _accuracy(search: SearchReport) -> dict[str, Cell]:
    """Return what the search came to, and which tensors cost most."""
    dearest = list(search.costs.items())[:_DEAREST]
    reached = "reached" if search.reached else "NOT reached"
    found: dict[str, Cell] = {
        "target": (f"{reached}: {search.value:.4g}", "good" if search.reached else "bad"),
        "wide": f"{search.wide:.1%} of the work on more than 8 bits, {len(search.tensors)} tensors "
        f"({len(search.floats)} float), {search.trials} programs tried",
        "still in 8 bits": f"{len(search.wide_weights)} layers with 16-bit weights, "
        f"{len(search.narrowed)} tensors with a narrower range",
        "most noise from": ", ".join(_dear(search, *one) for one in dearest) or "-",
    }
    if search.slower is not None:
        tone: Tone = "good" if search.in_time else "bad"
        found["time"] = (f"{search.slower:.2f} times that in 8 bits, on one core", tone)
    return found


def _dear(search: SearchReport, name: str, share: float) -> str:
    """Return a tensor with its share of the noise and the layers that read it."""
    layers = ", ".join(search.readers.get(name, ()))
    return f"{name} {share:.0%}" + (f" (read by {layers})" if layers else "")


def _decibel(value: float | None) -> Cell:
    if value is None:
        return ("-", "dim")
    text = f"{value:.1f}"
    return (text, "bad") if value < _LOW_DB else text


def _overview(report: CompileReport) -> dict[str, Cell]:
    fields: dict[str, Cell] = {
        "file": f"{report.path}  {size_text(report.file_bytes)}",
        "work": f"{report.macs / 1e6:.1f} M multiply-accumulates, "
        f"{report.npu_share:.1%} on the NPU, {report.int8_share:.1%} in int8",
        "memory": f"{size_text(report.arena_bytes)} for each request at work",
        "calibration": f"{report.samples} samples",
        "time": ", ".join(f"{name} {took:.1f} s" for name, took in report.seconds.items()),
    }
    dearest = report.dearest()[:_DEAREST]
    if dearest:
        fields["noisiest layers"] = ", ".join(
            f"{layer.name} ({layer.sqnr_device_db:.1f} dB)" for layer in dearest
        )
    for name, value in report.output_sqnr_device_db.items():
        fields[f"output {name}"] = f"{value:.1f} dB against float, on the software NPU"
    return fields
