"""What a compilation did: the object that `compile` returns."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from maccel_aio._typing import override

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from maccel_aio.compiler.search import SearchReport


def sqnr_db(reference: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the ratio of signal to quantisation noise in dB, at most 200.

    Args:
        reference: the float result, any shape.
        other: the quantised result, same number of elements.
    """
    exact = np.asarray(reference, np.float64).ravel()
    noise = float(np.square(exact - np.asarray(other, np.float64).ravel()).sum())
    signal = float(np.square(exact).sum())
    if noise <= signal * 1e-20:
        return 200.0
    return 10.0 * float(np.log10(max(signal, 1e-300) / noise))


@dataclass(frozen=True)
class LayerReport:
    """One row of the layer table.

    Attributes:
        index: row number, the one that profiles refer to.
        name: of the ONNX node.
        op: ONNX operator.
        where: ``"npu"`` or ``"cpu"``.
        reason: why it runs there, if that is not the NPU.
        precision: ``int8``, ``int16``, ``float32`` or ``cpu``.
        macs: multiply-accumulates of one inference.
        weight_bytes: of its constants in the file.
        output_shape: ONNX shape of the output.
        sqnr_device_db: its output against the float model's, with all layers before it quantised
            too, from running the compiled program on the software NPU. None: not measured.
        bands: of rows in which it runs; 1 for whole layers.
        reads: numbers of the layers whose outputs it reads.
    """

    index: int
    name: str
    op: str
    where: str = "npu"
    reason: str = ""
    precision: str = "int8"
    macs: int = 0
    weight_bytes: int = 0
    output_shape: tuple[int, ...] = ()
    sqnr_device_db: float | None = None
    bands: int = 1
    reads: tuple[int, ...] = ()


@dataclass(frozen=True)
class CompileReport:
    """The result of a compilation; `str` of it is a table.

    Attributes:
        name: of the model.
        path: the file that was written.
        layers: one row per layer of the program.
        output_sqnr_device_db: per model output, from running the compiled file on the software
            NPU. Empty where that was not asked for.
        file_bytes: size of the file.
        arena_bytes: device memory of one request.
        samples: calibration samples that were used, augmented ones included.
        seconds: time of each step.
        warnings: what a user should know.
        search: what was done for a wanted accuracy; None without one.
        variants: the reports of all sets of shapes, where there are several; this is the first.
    """

    name: str
    path: str
    layers: tuple[LayerReport, ...] = ()
    output_sqnr_device_db: dict[str, float] = field(default_factory=dict)
    file_bytes: int = 0
    arena_bytes: int = 0
    samples: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    search: SearchReport | None = None
    variants: tuple[CompileReport, ...] = ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(layer.macs for layer in self.layers)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all constants."""
        return sum(layer.weight_bytes for layer in self.layers)

    @property
    def npu_share(self) -> float:
        """Share of the multiply-accumulates that the NPU runs, 0..1; 1 if there are none."""
        return self._share(lambda layer: layer.where == "npu")

    @property
    def int8_share(self) -> float:
        """Share of the multiply-accumulates in 8-bit integers, 0..1; 1 if there are none."""
        return self._share(lambda layer: layer.precision == "int8")

    def _share(self, chosen: Callable[[LayerReport], bool]) -> float:
        total = self.macs
        return sum(x.macs for x in self.layers if chosen(x)) / total if total else 1.0

    def dearest(self) -> list[LayerReport]:
        """Return the layers that were measured and add noise, those that add most first.

        What a layer adds is its noise over its signal less that of the noisiest layer it reads.
        """
        noise = {
            layer.index: 10.0 ** (-layer.sqnr_device_db / 10.0)
            for layer in self.layers
            if layer.sqnr_device_db is not None
        }
        added = {
            layer.index: noise[layer.index]
            - max((noise.get(k, 0.0) for k in layer.reads), default=0.0)
            for layer in self.layers
            if layer.index in noise
        }
        found = [layer for layer in self.layers if added.get(layer.index, 0.0) > 0.0]
        return sorted(found, key=lambda layer: (-added[layer.index], layer.index))

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        totals = {
            "macs": self.macs,
            "weight_bytes": self.weight_bytes,
            "npu_share": self.npu_share,
            "int8_share": self.int8_share,
            "total_seconds": sum(self.seconds.values()),
        }
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain | totals

    @override
    def __str__(self) -> str:
        parts = self.variants or (self,)
        return "\n\n".join("\n".join([*_table(p.layers), "", *_summary(p)]) for p in parts)


def _decibel(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def table_rows(layers: tuple[LayerReport, ...]) -> list[tuple[str, ...]]:
    """Return the layer table as text cells; the first row holds the headings."""
    rows: list[tuple[str, ...]] = [
        ("#", "layer", "op", "where", "precision", "MMACs", "weights", "SQNR dB")
    ]
    for layer in layers:
        where = f"{layer.where}: {layer.reason}" if layer.reason else layer.where
        rows.append(
            (
                str(layer.index),
                layer.name,
                layer.op,
                where,
                layer.precision if layer.bands == 1 else f"{layer.precision} x{layer.bands}",
                f"{layer.macs / 1e6:.2f}",
                str(layer.weight_bytes),
                _decibel(layer.sqnr_device_db),
            )
        )
    return rows


def _table(layers: tuple[LayerReport, ...]) -> list[str]:
    rows = table_rows(layers)
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    padded = ([c.ljust(w) for c, w in zip(row, widths, strict=True)] for row in rows)
    return ["  ".join(cells).rstrip() for cells in padded]


def _summary(report: CompileReport) -> list[str]:
    lines = [
        f"{report.name} -> {report.path}",
        f"{report.macs / 1e6:.1f} M multiply-accumulates",
        f"{report.npu_share:.1%} of them on the NPU, {report.int8_share:.1%} in int8",
        f"file {report.file_bytes} bytes, constants {report.weight_bytes} bytes",
        f"memory of a request {report.arena_bytes} bytes",
        f"{report.samples} calibration samples, {sum(report.seconds.values()):.1f} s",
    ]
    lines += [
        f"output {name}: {_decibel(db)} dB against float, on the software NPU"
        for name, db in report.output_sqnr_device_db.items()
    ]
    return lines + [f"warning: {text}" for text in report.warnings]
