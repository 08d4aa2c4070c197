"""``maccel-aio compare``: how far a compiled file is from its float model, on one's own data."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from maccel_aio.cli._console import Column

if TYPE_CHECKING:
    import argparse

    from maccel_aio import Layer
    from maccel_aio.cli._console import Cell, Console
    from maccel_aio.compiler.compare import OutputComparison

_OUTPUTS = (
    Column("output"),
    Column("SQNR dB", right=True),
    Column("worst sample", right=True),
    Column("largest error", right=True),
    Column("same largest", right=True),
)
_LAYERS = (
    Column("#", right=True),
    Column("layer"),
    Column("op"),
    Column("precision"),
    Column("SQNR dB", right=True),
    Column("lost here", right=True),
)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the program's parser."""
    parser = commands.add_parser("compare", help="compare a .mxq file with its float model")
    parser.add_argument("float_model", type=Path, metavar="MODEL.onnx", help="the float model")
    parser.add_argument("model", type=Path, metavar="MODEL.mxq", help="the compiled model")
    parser.add_argument(
        "--data", type=Path, required=True, help="a directory of pictures, a .npz or a .npy file"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, console: Console) -> int:
    import maccel_aio
    from maccel_aio.compiler.compare import compare

    outputs = compare(args.float_model, args.model, args.data)
    layers = maccel_aio.read_manifest(args.model).layers
    measured = [layer for layer in layers if layer.sqnr_db is not None]
    console.heading("outputs, on this data")
    console.table(_OUTPUTS, [_output_row(output) for output in outputs])
    if measured:
        console.heading("layers, as the compiler measured them")
        console.table(_LAYERS, layer_rows(measured))
    console.result(
        {
            "outputs": [asdict(output) for output in outputs],
            "layers": [layer._asdict() for layer in measured],
        }
    )
    return 0


def _output_row(output: OutputComparison) -> list[Cell]:
    return [
        (output.name, "accent"),
        f"{output.decibel:.1f}",
        f"{output.worst_decibel:.1f}",
        f"{output.largest_error:.4g}",
        f"{output.same_largest:.0%}",
    ]


def layer_rows(layers: list[Layer]) -> list[list[Cell]]:
    """Return a row for each layer, with what it lost against the layer before."""
    rows: list[list[Cell]] = []
    before: float | None = None
    for layer in layers:
        value = layer.sqnr_db
        lost = 0.0 if before is None or value is None else before - value
        text = f"{lost:.1f}" if lost > 0 else "-"
        rows.append(
            [
                str(layer.number),
                layer.name,
                layer.op,
                layer.precision,
                "-" if value is None else f"{value:.1f}",
                (text, "bad") if lost > _MUCH else text,
            ]
        )
        before = value
    return rows


_MUCH = 6.0
"""dB; a layer that loses more stands out."""
