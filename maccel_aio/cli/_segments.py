"""Models of several segments: what share of the work each has, and how long it takes."""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio.to_thread

from maccel_aio.cli._console import Column

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from maccel_aio import Manifest, Model
    from maccel_aio.cli._console import Cell, Console

CALLS = 20


class SegmentFigure(NamedTuple):
    """One segment of the first variant.

    Attributes:
        kind: "npu" or "cpu".
        share: of the multiply-accumulates of the model, 0..1.
        seconds: median of a call, on a core or in a thread; None if it was not measured.
    """

    name: str
    kind: str
    reason: str
    share: float
    seconds: float | None = None


def segment_shares(manifest: Manifest, variant: int = 0) -> list[SegmentFigure]:
    """Return the segments of a variant, with what the file says of them."""
    total = sum(layer.macs for layer in manifest.layers) or 1
    return [
        SegmentFigure(
            one.name,
            one.kind,
            one.reason,
            sum(layer.macs for layer in manifest.layers if layer.segment == one.name) / total,
        )
        for one in manifest.variants[variant].segments
    ]


def with_times(
    segments: Iterable[SegmentFigure], events: Iterable[dict[str, Any]]
) -> list[SegmentFigure]:
    """Return the segments with the median duration that a trace has of each."""
    found: dict[str, list[float]] = {}
    for event in events:
        if event["ph"] == "X":
            name = event["args"].get("segment") or event["name"]
            found.setdefault(name, []).append(event["dur"] / 1e6)
    return [
        one._replace(seconds=statistics.median(found[one.name]) if one.name in found else None)
        for one in segments
    ]


async def measure_segments(
    model: Model, inputs: Sequence[NDArray[Any]], calls: int = CALLS
) -> list[SegmentFigure]:
    """Call a model, one request at a time, and return its segments with their times."""
    import maccel_aio

    with tempfile.TemporaryDirectory(prefix="maccel-") as folder:
        path = Path(folder) / "trace.json"
        async with maccel_aio.trace(path):
            for _ in range(calls):
                await model.infer(list(inputs))
        text = await anyio.to_thread.run_sync(path.read_text)
    return with_times(segment_shares(model.manifest), json.loads(text)["traceEvents"])


_COLUMNS = (
    Column("segment"),
    Column("runs on"),
    Column("work", right=True),
    Column("ms", right=True),
    Column("time", right=True),
    Column("reason"),
)


def show_segments(console: Console, segments: Sequence[SegmentFigure]) -> None:
    """Print a table of segments with their times, and what is gained if all run at once."""
    times = [one.seconds or 0.0 for one in segments]
    total = sum(times) or 1.0
    rows: list[list[Cell]] = [
        [
            one.name,
            (one.kind.upper(), "good" if one.kind == "npu" else "bad"),
            f"{one.share:.1%}",
            "-" if one.seconds is None else f"{one.seconds * 1e3:.3f}",
            f"{took / total:.1%}",
            one.reason or "-",
        ]
        for one, took in zip(segments, times, strict=True)
    ]
    console.heading("segments of one request; with several in flight they overlap")
    console.table(_COLUMNS, rows)


def plain_segments(segments: Sequence[SegmentFigure]) -> list[dict[str, Any]]:
    """Return the segments as plain JSON values."""
    return [one._asdict() for one in segments]
