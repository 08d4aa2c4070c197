"""Numbers as columns of text."""

from collections.abc import Sequence

from peering.rounds import Spread


def grid(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines in columns; the first row is the head."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * max(len(line) for line in lines))
    return lines


def spread(values: Sequence[float] | None, form: str = "{:.2f}") -> str:
    """Return median and range as text; a dash without values."""
    if not values:
        return "-"
    middle, low, high = (form.format(value) for value in Spread.of(values))
    return f"{middle} [{low}..{high}]"


def ratios(upper: Sequence[float], lower: Sequence[float]) -> list[float]:
    """Return ratios round by round."""
    return [a / b for a, b in zip(upper, lower, strict=True)]


def milliseconds(seconds: Sequence[float] | None) -> list[float]:
    """Return seconds in milliseconds; nothing without values."""
    return [1e3 * value for value in seconds or ()]
