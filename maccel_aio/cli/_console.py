"""What the commands print through: plain text, rich where it is installed, or JSON alone.

Results go to standard output, progress and errors to standard error. With ``--json`` the only
output is one JSON document.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from maccel_aio._typing import override

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import rich.console

_FILE_WIDTH = 160

Tone = Literal["good", "bad", "dim", "accent"]
Cell = str | tuple[str, Tone]


class Column(NamedTuple):
    """Heading of a table column; numbers stand at the right."""

    name: str
    right: bool = False


class Task:
    """One piece of work under way; the base class shows nothing."""

    def update(self, done: float, total: float | None = None, note: str = "") -> None:
        """Say how far it is, in any unit, and what it does now."""


class Console:
    """Plain text. One object per run of the program, used by one thread."""

    def line(self, text: str = "", tone: Tone | None = None) -> None:
        """Print one line."""
        del tone
        print(text)

    def heading(self, text: str) -> None:
        """Begin a section."""
        self.line()
        self.line(text)

    def fields(self, values: Mapping[str, Cell]) -> None:
        """Print names with their values, aligned."""
        width = max(map(len, values), default=0)
        for name, value in values.items():
            self.line(f"  {name.ljust(width)}  {_text(value)}")

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
        """Print rows under headings; each row has a cell per column."""
        texts = [[column.name for column in columns], *([_text(c) for c in row] for row in rows)]
        widths = [max(len(row[k]) for row in texts) for k in range(len(columns))]
        for row in texts:
            cells = [
                text.rjust(width) if column.right else text.ljust(width)
                for text, width, column in zip(row, widths, columns, strict=True)
            ]
            self.line("  " + "  ".join(cells).rstrip())

    def result(self, value: Mapping[str, Any]) -> None:
        """Take the machine-readable result; printed with ``--json`` alone."""

    def error(self, text: str) -> None:
        """Print an error as one line."""
        print(f"maccel-aio: error: {' '.join(text.split())}", file=sys.stderr)

    @contextmanager
    def progress(self, label: str, total: float | None = None) -> Iterator[Task]:
        """Show work under way until the block is left; then one line says how long it took."""
        del total
        began = time.perf_counter()
        yield Task()
        took = time.perf_counter() - began
        print(f"  {label}: {took:.1f} s", file=sys.stderr)


class JsonConsole(Console):
    """Prints nothing but the result, as one JSON document."""

    @override
    def line(self, text: str = "", tone: Tone | None = None) -> None:
        pass

    @override
    def result(self, value: Mapping[str, Any]) -> None:
        print(json.dumps(_standard(value), indent=2, ensure_ascii=False, allow_nan=False))

    @contextmanager
    @override
    def progress(self, label: str, total: float | None = None) -> Iterator[Task]:
        del label, total
        yield Task()


class RichConsole(Console):
    """Colours, tables and live progress bars."""

    _TONES = {"good": "green", "bad": "bold red", "dim": "dim", "accent": "bold cyan"}  # noqa: RUF012

    def __init__(self) -> None:
        from rich.console import Console as Screen

        # A file or a pipe has no width: nothing should be cut off there.
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _FILE_WIDTH
        self._out: rich.console.Console = Screen(highlight=False, width=width)
        self._err: rich.console.Console = Screen(stderr=True, highlight=False)

    def _styled(self, cell: Cell) -> str:
        from rich.markup import escape

        if isinstance(cell, str):
            return escape(cell)
        text, tone = cell
        style = self._TONES[tone]
        return f"[{style}]{escape(text)}[/]"

    @override
    def line(self, text: str = "", tone: Tone | None = None) -> None:
        self._out.print(self._styled((text, tone) if tone else text), soft_wrap=True)

    @override
    def heading(self, text: str) -> None:
        self._out.print()
        self._out.print(f"[bold cyan]▌[/] [bold]{self._styled(text)}[/]")

    @override
    def fields(self, values: Mapping[str, Cell]) -> None:
        from rich.padding import Padding
        from rich.table import Table

        grid = Table.grid(padding=(0, 2))
        for name, value in values.items():
            grid.add_row(f"[dim]{self._styled(name)}[/]", self._styled(value))
        self._out.print(Padding(grid, (0, 0, 0, 2), expand=False))

    @override
    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, header_style="bold", border_style="dim", pad_edge=True)
        for column in columns:
            table.add_column(column.name, justify="right" if column.right else "left")
        for row in rows:
            table.add_row(*map(self._styled, row))
        self._out.print(table)

    @override
    def error(self, text: str) -> None:
        message = " ".join(text.split())
        self._err.print(f"[bold red]maccel-aio: error:[/] {self._styled(message)}", soft_wrap=True)

    @contextmanager
    @override
    def progress(self, label: str, total: float | None = None) -> Iterator[Task]:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        if not self._err.is_terminal:
            with super().progress(label, total) as task:
                yield task
            return
        began = time.perf_counter()
        columns = (
            SpinnerColumn(style="cyan", finished_text="[cyan]⠿[/]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            TextColumn("[dim]{task.fields[note]}[/]"),
        )
        with Progress(*columns, console=self._err, transient=True) as bars:
            yield _Bar(bars, bars.add_task(label, total=total, note=""))
        took = time.perf_counter() - began
        self._err.print(f"  [green]✓[/] {self._styled(label)} [dim]{took:.1f} s[/]")


class _Bar(Task):
    """A live bar of rich; `bars` is a rich.progress.Progress."""

    def __init__(self, bars: Any, number: Any) -> None:  # noqa: ANN401 - rich may be missing
        self._bars, self._number = bars, number

    @override
    def update(self, done: float, total: float | None = None, note: str = "") -> None:
        values: dict[str, Any] = {"completed": done, "note": note}
        if total is not None:
            values["total"] = total
        self._bars.update(self._number, **values)


def make_console(*, as_json: bool) -> Console:
    """Return the console for this run: JSON if asked for, rich if installed, else plain text."""
    if as_json:
        return JsonConsole()
    try:
        return RichConsole()
    except ImportError:
        return Console()


def _standard(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value with null for NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _standard(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_standard(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]


def size_text(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def time_text(seconds: float) -> str:
    """Return a duration for people."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} us"
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"


def bar_text(share: float, width: int = 20) -> str:
    """Return a bar of `width` characters, `share` of it filled."""
    filled = round(min(max(share, 0.0), 1.0) * width)
    return "█" * filled + "░" * (width - filled)
