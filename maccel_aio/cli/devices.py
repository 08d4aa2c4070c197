"""``maccel-aio devices``: the accelerators of this machine, and what they can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from maccel_aio.cli._console import Column

if TYPE_CHECKING:
    import argparse

    from maccel_aio import DeviceInfo
    from maccel_aio.cli._console import Cell, Console

_ALWAYS = ("soft:0",)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the program's parser."""
    parser = commands.add_parser("devices", help="show the accelerators of this machine")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all there are")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, console: Console) -> int:
    import maccel_aio

    found = anyio.run(_find, args.names or list(_ALWAYS))
    active, detected = maccel_aio.isa()
    columns = [
        Column("device"),
        Column("what"),
        Column("clusters"),
        Column("cores"),
        Column("run at a time"),
    ]
    rows: list[list[Cell]] = [
        [
            (info.name, "accent"),
            _KINDS.get(info.kind, info.kind),
            str(info.clusters),
            f"{info.clusters} x ({info.local_cores} local + {info.global_cores} global)",
            str(info.workers),
        ]
        for info in found
    ]
    console.table(columns, rows)
    console.fields({"instruction set": f"{active} (the processor has {detected})"})
    devices = [info._asdict() for info in found]
    console.result({"devices": devices, "isa": active, "detected_isa": detected})
    return 0


_KINDS = {
    "soft": "software NPU",
    "null": "completes at once, for overhead tests",
    "fault": "injects faults, for tests",
}


async def _find(names: list[str]) -> list[DeviceInfo]:
    import maccel_aio

    found = []
    for name in names:
        async with maccel_aio.Accelerator(name) as accelerator:
            found.append(accelerator.info)
    return found
