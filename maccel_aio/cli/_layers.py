"""What each layer of a model does with the machine: time, rate, traffic, and the roof above it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from maccel_aio.cli._console import Column, bar_text, size_text
from maccel_aio.cli._measure import Spread, random_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maccel_aio import LayerTime, Manifest, Model, Peaks
    from maccel_aio.cli._console import Cell, Console

#: A window is a few inferences; the median of the windows is what a layer takes.
_WINDOWS, _RUNS, _WARM_RUNS = 9, 5, 3

Roof = Literal["compute", "L2", "L3", "DRAM"]


class LayerFigure(NamedTuple):
    """One layer of a run on one core."""

    layer: int
    name: str
    op: str
    precision: str
    #: Seconds of one inference: median and range of the windows.
    seconds: Spread
    #: Calls in all windows, and their time.
    calls: int
    total_ns: int
    macs: int
    #: Read and written by one inference; what a cache saves is not taken off.
    bytes_moved: int
    #: Of the time of all layers, 0..1.
    share: float
    #: What bounds it here: arithmetic, or the nearest level that holds what it moves.
    roof: Roof
    #: Seconds that it would take at its roof.
    floor_s: float
    #: Seconds that its arithmetic alone would take at the peak of its type.
    compute_s: float

    @property
    def ops_per_s(self) -> float:
        """Operations a second, two per multiply-accumulate."""
        return _rate(2 * self.macs, self.seconds.median)

    @property
    def bytes_per_s(self) -> float:
        """Bytes moved a second."""
        return _rate(self.bytes_moved, self.seconds.median)

    @property
    def peak_share(self) -> float:
        """Share of the arithmetic peak of its type, 0..1."""
        return _rate(self.compute_s, self.seconds.median)

    @property
    def roof_share(self) -> float:
        """How near it is to its roof, 0..1."""
        return _rate(self.floor_s, self.seconds.median)

    @property
    def intensity(self) -> float:
        """Operations per byte moved; 0 for layers without multiply-accumulates."""
        return _rate(2 * self.macs, self.bytes_moved)

    def plain(self) -> dict[str, Any]:
        """Return everything as plain JSON values; times in seconds unless named otherwise."""
        rates = ("ops_per_s", "bytes_per_s", "peak_share", "roof_share", "intensity")
        plain = self._asdict() | {"seconds": self.seconds._asdict()}
        return plain | {name: getattr(self, name) for name in rates}


def _rate(amount: float, seconds: float) -> float:
    return amount / seconds if seconds else 0.0


async def measure_layers(model: Model) -> list[list[LayerTime]]:
    """Run the model with noise and return the times of its layers, window by window."""
    inputs = random_inputs(model.inputs)
    for _ in range(_WARM_RUNS):
        await model.infer(inputs)
    windows = []
    for _ in range(_WINDOWS):
        model.set_profile(True)
        for _ in range(_RUNS):
            await model.infer(inputs)
        windows.append(list(model.layer_times()))
        model.set_profile(False)
    return windows


def layer_figures(
    windows: Sequence[Sequence[LayerTime]], manifest: Manifest, peaks: Peaks
) -> list[LayerFigure]:
    """Compare the times of layers with the limits of one core, in the order of the program.

    Args:
        windows: at least one; each has every layer, in the same order.
        manifest: of the model; says which layers compute in float.
        peaks: of the machine, measured at about the same time.
    """
    precisions = {layer.number: layer.precision for layer in manifest.layers}
    rows = [row for row in zip(*windows, strict=True) if row[0].calls]
    spreads = [Spread.of([one.total_ns / max(one.calls, 1) / 1e9 for one in row]) for row in rows]
    total = math.fsum(spread.median for spread in spreads) or 1.0
    figures = []
    for row, spread in zip(rows, spreads, strict=True):
        first = row[0]
        precision = precisions.get(first.layer, "int8")
        moved = first.bytes_read + first.bytes_written
        roof, floor, compute = _under(first.macs, moved, precision, peaks)
        figures.append(
            LayerFigure(
                first.layer, first.name, first.op, precision, spread,
                sum(one.calls for one in row), sum(one.total_ns for one in row),
                first.macs, moved, spread.median / total, roof, floor, compute,
            )
        )  # fmt: skip
    return figures


def _under(macs: int, moved: int, precision: str, peaks: Peaks) -> tuple[Roof, float, float]:
    """Return the roof, seconds at the roof, and seconds of the arithmetic alone."""
    compute = 2 * macs / (peaks.f32_ops if "float" in precision else peaks.int8_ops)
    level: Roof
    if moved <= peaks.l2_bytes:
        level, speed = "L2", peaks.l2_read
    elif moved <= peaks.l3_bytes:
        level, speed = "L3", peaks.l3_read
    else:
        level, speed = "DRAM", peaks.dram_read
    memory = moved / speed
    return ("compute", compute, compute) if compute >= memory else (level, memory, compute)


class Total(NamedTuple):
    """All layers together."""

    seconds: float
    macs: int
    bytes_moved: int
    #: Shares of the arithmetic peaks and of the layers' roofs, 0..1.
    peak_share: float
    roof_share: float

    @classmethod
    def of(cls, figures: Sequence[LayerFigure]) -> Total:
        """Add up layers."""
        seconds = math.fsum(one.seconds.median for one in figures)
        return cls(
            seconds,
            sum(one.macs for one in figures),
            sum(one.bytes_moved for one in figures),
            _rate(math.fsum(one.compute_s for one in figures), seconds),
            _rate(math.fsum(one.floor_s for one in figures), seconds),
        )


_COLUMNS = (
    Column("#", right=True),
    Column("layer"),
    Column("op"),
    Column("us", right=True),
    Column("share", right=True),
    Column(""),
    Column("GOPS", right=True),
    Column("of peak", right=True),
    Column("moved", right=True),
    Column("GB/s", right=True),
    Column("roof"),
    Column("of roof", right=True),
)


def show_layers(console: Console, figures: Sequence[LayerFigure], peaks: Peaks) -> None:
    """Print the layers in the order of the program, then all together, then the limits."""
    most = max((one.share for one in figures), default=1.0) or 1.0
    rows: list[list[Cell]] = [_row(one, one.share / most) for one in figures]
    total = Total.of(figures)
    rows.append(
        [
            "", ("all layers", "accent"), "", f"{total.seconds * 1e6:.1f}", "", "",
            f"{_rate(2 * total.macs, total.seconds) / 1e9:.0f}", f"{total.peak_share:.0%}",
            size_text(total.bytes_moved), f"{_rate(total.bytes_moved, total.seconds) / 1e9:.1f}",
            "", f"{total.roof_share:.0%}",
        ]
    )  # fmt: skip
    console.table(_COLUMNS, rows)
    console.fields({"one core": peaks_text(peaks)})


def _row(one: LayerFigure, bar: float) -> list[Cell]:
    computes = one.macs > 0
    return [
        str(one.layer),
        one.name,
        one.op if one.precision == "int8" else f"{one.op} {one.precision}",
        f"{one.seconds.median * 1e6:.1f}",
        f"{one.share:.1%}",
        (bar_text(bar, 10), "accent"),
        f"{one.ops_per_s / 1e9:.0f}" if computes else ("-", "dim"),
        f"{one.peak_share:.0%}" if computes else ("-", "dim"),
        size_text(one.bytes_moved),
        f"{one.bytes_per_s / 1e9:.1f}",
        one.roof,
        f"{one.roof_share:.0%}",
    ]


def peaks_text(peaks: Peaks) -> str:
    """Return the limits of one core as one line."""
    return (
        f"{peaks.isa}: int8 {peaks.int8_ops / 1e9:.0f} GOPS, "
        f"float32 {peaks.f32_ops / 1e9:.0f} GOPS; reads of L2 {peaks.l2_read / 1e9:.0f}, "
        f"L3 {peaks.l3_read / 1e9:.0f}, DRAM {peaks.dram_read / 1e9:.0f} GB/s"
    )
