"""The program ``maccel-aio``: compile, inspect, run and measure models.

Exit status: 0 for success, 1 for an error (one line on standard error), 2 for wrong usage, 130
when interrupted. ``MACCEL_DEBUG=1`` shows the traceback of an error.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from maccel_aio.cli import bench, compare, compile, demo, devices, run, summary, zoo  # noqa: A004
from maccel_aio.cli._console import make_console

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS = (demo, compile, summary, compare, run, bench, devices, zoo)

_EXPECTED = (RuntimeError, ValueError, OSError, ImportError)
"""What may be wrong with files, arguments or devices; anything else is a fault of the program."""

_EPILOG = "First steps:  maccel-aio demo --output out"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole program."""
    parser = argparse.ArgumentParser(
        prog="maccel-aio",
        description="Asyncio-first inference on NPUs, with a software NPU where there is none.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"maccel-aio {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (default: the process's arguments); return the exit status."""
    args = build_parser().parse_args(argv)
    # Left alone, onnxruntime names the machine and reports from it as soon as it is imported.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    console = make_console(as_json=getattr(args, "json", False))
    try:
        return int(args.run(args, console))
    except KeyboardInterrupt:
        console.error("interrupted")
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (*_EXPECTED, ExceptionGroup) as error:
        first = _first(error)
        if os.environ.get("MACCEL_DEBUG") or not isinstance(first, _EXPECTED):
            raise
        console.error(_explain(first))
        return 1


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("maccel-aio")
    except PackageNotFoundError:
        return "(not installed)"


def _first(error: Exception) -> Exception:
    """Return the first error of a task group, or the error itself."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _explain(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"this command needs {error.name}: pip install 'maccel-aio[all]'"
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__
