"""``maccel-aio summary``: what a compiled model is, without a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maccel_aio.cli._console import Column, size_text
from maccel_aio.cli._segments import segment_shares

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from maccel_aio import Layer, Manifest, TensorSpec, Variant
    from maccel_aio.cli._console import Cell, Console


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the program's parser."""
    parser = commands.add_parser(
        "summary", aliases=["inspect"], help="show inputs, outputs and layers of a .mxq file"
    )
    parser.add_argument("model", type=Path, help="a compiled model (.mxq)")
    parser.add_argument("--no-layers", action="store_true", help="leave out the layer table")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, console: Console) -> int:
    import maccel_aio

    manifest = maccel_aio.read_manifest(args.model)
    console.heading(manifest.name)
    console.fields(_overview(manifest, args.model.stat().st_size))
    for index, variant in enumerate(manifest.variants):
        console.heading("tensors" if len(manifest.variants) == 1 else f"tensors, variant {index}")
        console.table([Column(n) for n in _TENSOR_COLUMNS], _tensor_rows(variant))
        if len(variant.segments) > 1:
            console.heading("segments")
            console.table(_SEGMENT_COLUMNS, _segment_rows(manifest, index))
    if manifest.layers and not args.no_layers:
        console.heading("layers")
        console.table(_LAYER_COLUMNS, _layer_rows(manifest.layers))
    console.result(_plain(manifest, args.model))
    return 0


_TENSOR_COLUMNS = ("", "name", "shape", "layout", "type", "on the device", "preprocessing")
_SEGMENT_COLUMNS = (
    Column("name"),
    Column("runs on"),
    Column("work", right=True),
    Column("reason"),
)
_LAYER_COLUMNS = (
    Column("#", right=True),
    Column("layer"),
    Column("op"),
    Column("output"),
    Column("precision"),
    Column("MMACs", right=True),
    Column("share", right=True),
    Column("SQNR dB", right=True),
)


def _overview(manifest: Manifest, file_bytes: int) -> dict[str, Cell]:
    macs = sum(layer.macs for layer in manifest.layers)
    return {
        "file": size_text(file_bytes),
        "target": f"{manifest.profile}, core modes {', '.join(manifest.core_modes)}",
        "work": f"{macs / 1e6:.1f} M multiply-accumulates in {len(manifest.layers)} layers",
        "compiled by": str(manifest.provenance.get("compiler", "unknown")),
        "source": f"sha256 {str(manifest.provenance.get('source_sha256', 'unknown'))[:16]}",
    }


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape for people."""
    return "x".join(map(str, shape)) or "scalar"


def preprocess_text(how: Mapping[str, Any] | None) -> str:
    """Return a preprocessing for people: one number where all channels have the same."""
    if not how:
        return "-"
    mean, std = (_number_text(how.get(key, plain)) for key, plain in (("mean", 0), ("std", 1)))
    text = str(how["channels"])
    text += "" if mean == "0" else f" - {mean}"
    return text if std == "1" else f"{text} / {std}"


def _number_text(value: float | Sequence[float]) -> str:
    numbers = [f"{number:g}" for number in np.atleast_1d(value)]
    return numbers[0] if len(set(numbers)) == 1 else f"[{' '.join(numbers)}]"


def _tensor_rows(variant: Variant) -> list[list[Cell]]:
    rows = [_tensor_row("input", spec) for spec in variant.inputs]
    return rows + [_tensor_row("output", spec) for spec in variant.outputs]


def _tensor_row(kind: str, spec: TensorSpec) -> list[Cell]:
    device = spec.device_dtype
    if device != "float32":
        device += f", scale {spec.scale:.4g}, zero {spec.zero_point}"
    pixels = preprocess_text(spec.preprocess)
    shape = shape_text(spec.shape)
    return [(kind, "dim"), (spec.name, "accent"), shape, spec.layout, spec.dtype, device, pixels]


def _segment_rows(manifest: Manifest, variant: int) -> list[list[Cell]]:
    return [
        [
            one.name,
            (one.kind.upper(), "good" if one.kind == "npu" else "bad"),
            f"{one.share:.1%}",
            one.reason or "-",
        ]
        for one in segment_shares(manifest, variant)
    ]


def _layer_rows(layers: tuple[Layer, ...]) -> list[list[Cell]]:
    total = sum(layer.macs for layer in layers) or 1
    return [
        [
            str(layer.number),
            layer.name,
            layer.op,
            shape_text(layer.output_shape),
            layer.precision if layer.precision != "cpu" else (layer.precision, "bad"),
            f"{layer.macs / 1e6:.2f}" if layer.macs else ("-", "dim"),
            f"{layer.macs / total:.1%}" if layer.macs else ("-", "dim"),
            "-" if layer.sqnr_db is None else f"{layer.sqnr_db:.1f}",
        ]
        for layer in layers
    ]


def _plain(manifest: Manifest, path: Path) -> dict[str, Any]:
    return {
        "path": str(path),
        "name": manifest.name,
        "file_bytes": path.stat().st_size,
        "profile": manifest.profile,
        "core_modes": list(manifest.core_modes),
        "macs": sum(layer.macs for layer in manifest.layers),
        "variants": [
            {
                "inputs": [spec._asdict() for spec in variant.inputs],
                "outputs": [spec._asdict() for spec in variant.outputs],
                "segments": [
                    {"name": s.name, "kind": s.kind, "reason": s.reason, "share": s.share}
                    for s in segment_shares(manifest, number)
                ],
            }
            for number, variant in enumerate(manifest.variants)
        ],
        "layers": [layer._asdict() for layer in manifest.layers],
        "provenance": manifest.provenance,
    }
