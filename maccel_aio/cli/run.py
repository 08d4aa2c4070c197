"""``maccel-aio run``: arrays or pictures in, outputs as a table and as ``.npy`` files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import numpy as np

from maccel_aio.cli._console import Column
from maccel_aio.cli._inputs import FITS, Request, distinct, read_requests
from maccel_aio.cli.summary import shape_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from maccel_aio.cli._console import Cell, Console

_TOP = 5


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the program's parser."""
    parser = commands.add_parser(
        "run",
        help="run a .mxq file on arrays or pictures",
        description="A model of one input runs once per --input; a model of several runs once, "
        "with one PATH or NAME=PATH for each input.",
    )
    parser.add_argument("model", type=Path, help="a compiled model (.mxq)")
    parser.add_argument(
        "-i", "--input", nargs="+", required=True, metavar="PATH", help=".npy files or pictures"
    )
    parser.add_argument("-o", "--output-dir", type=Path, help="write outputs here as .npy files")
    parser.add_argument("--device", default="auto", help="as for Accelerator (default: auto)")
    parser.add_argument("--labels", type=Path, help="class names: a JSON list, or one a line")
    parser.add_argument(
        "--fit", choices=FITS, default="crop", help="how pictures get the input's size"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, console: Console) -> int:
    labels = _read_labels(args.labels) if args.labels else None
    names, requests, results = anyio.run(_infer, args, console)
    for request, outputs in zip(requests, results, strict=True):
        console.heading(request.name)
        _show(console, names, outputs, labels)
    saved = _save(args.output_dir, names, requests, results) if args.output_dir else {}
    for path in saved.values():
        console.line(f"  wrote {path}", "dim")
    console.result(
        {
            "results": [
                {
                    "input": request.name,
                    "outputs": [
                        _plain(name, array, saved.get(f"{request.name}.{name}"))
                        for name, array in zip(names, outputs, strict=True)
                    ],
                }
                for request, outputs in zip(requests, results, strict=True)
            ]
        }
    )
    return 0


async def _infer(
    args: argparse.Namespace, console: Console
) -> tuple[list[str], list[Request], list[list[NDArray[Any]]]]:
    """Read the inputs and run them all; the model pipelines what is in flight."""
    import maccel_aio

    async with (
        maccel_aio.Accelerator(args.device) as accelerator,
        maccel_aio.load(args.model, accelerator=accelerator) as model,
    ):
        requests = await anyio.to_thread.run_sync(
            lambda: read_requests(args.input, model.inputs, fit=args.fit)
        )
        results: list[list[NDArray[Any]]] = [[] for _ in requests]

        async def one(index: int, request: Request) -> None:
            results[index] = await model.infer(request.arrays)

        with console.progress(f"run {len(requests)} x {args.model.name}"):
            async with anyio.create_task_group() as tasks:
                for index, request in enumerate(requests):
                    tasks.start_soon(one, index, request)
        return [spec.name for spec in model.outputs], requests, results


def _read_labels(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
        names = json.loads(text) if path.suffix == ".json" else text.splitlines()
    except ValueError as error:
        raise ValueError(f"{path} does not hold class names: {error}") from error
    if isinstance(names, list):
        return [str(name) for name in names]
    raise ValueError(f"{path} does not hold a JSON list of names")


def _show(
    console: Console,
    names: Sequence[str],
    outputs: Sequence[NDArray[Any]],
    labels: list[str] | None,
) -> None:
    rows: list[list[Cell]] = []
    for name, array in zip(names, outputs, strict=True):
        numbers = [f"{value:.4g}" for value in (array.min(), array.mean(), array.max())]
        rows.append([(name, "accent"), shape_text(array.shape), str(array.dtype), *numbers])
    columns = [Column("output"), Column("shape"), Column("type")]
    columns += [Column(name, right=True) for name in ("min", "mean", "max")]
    console.table(columns, rows)
    if labels is not None:
        flat = outputs[0].ravel()
        for index in _best(flat):
            name = labels[index] if index < len(labels) else "?"
            console.line(f"  {flat[index]:9.3f}  {name} ({index})")


def _best(flat: NDArray[Any]) -> list[int]:
    """Return the indices of the largest elements, largest first."""
    return [int(index) for index in np.argsort(flat, kind="stable")[::-1][:_TOP]]


def _save(
    folder: Path,
    names: Sequence[str],
    requests: Sequence[Request],
    results: Sequence[Sequence[NDArray[Any]]],
) -> dict[str, str]:
    """Write every output; return the paths by ``input.output``."""
    folder.mkdir(parents=True, exist_ok=True)
    saved = {}
    safe_names = distinct(
        ["".join(c if c.isalnum() or c in "-_." else "_" for c in name) for name in names]
    )
    for request, outputs in zip(requests, results, strict=True):
        for name, safe, array in zip(names, safe_names, outputs, strict=True):
            path = folder / f"{request.name}.{safe}.npy"
            np.save(path, array)
            saved[f"{request.name}.{name}"] = str(path)
    return saved


def _plain(name: str, array: NDArray[Any], path: str | None) -> dict[str, Any]:
    flat = array.ravel()
    return {
        "name": name,
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "min": float(flat.min()),
        "mean": float(flat.mean()),
        "max": float(flat.max()),
        "top": [{"index": index, "value": float(flat[index])} for index in _best(flat)],
        "path": path,
    }
