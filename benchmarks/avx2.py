"""Ours beside onnxruntime int8 where both are kept to AVX2, interleaved.

usage: python benchmarks/avx2.py [--models NAME ...] [--threads N] [--rounds 7] [--seconds .1]
                                 [--prepare]

One process for all models; in it both engines see a processor without AVX-512
(``peering/restricted.py`` says how). They take turns; a figure is the median of the rounds, with
the lowest and the highest. Ratios are computed round by round and are above 1 where ours is faster.
Each is fed what it likes most. ``--prepare`` only makes the files.
"""

import argparse
import os
import statistics
import sys
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

from peering import restricted
from peering.artefacts import Workshop
from peering.models import SUBJECTS
from peering.rounds import Spread, interleaved, median_seconds

_MODELS = ("efficientnet_lite0", "mobilenet_v2", "resnet50", "centerface")


class Row(NamedTuple):
    """One model: seconds of a call by engine, and the ratio."""

    title: str
    ours: Spread
    theirs: Spread
    ratio: Spread


def note(text: str) -> None:
    """Tell what is being done, apart from the table."""
    print(text, file=sys.stderr, flush=True)


def measure(name: str, args: argparse.Namespace) -> Row:
    """Return the times of a call of both engines."""
    from peering.engines import Field

    subject = SUBJECTS[name]
    files = Workshop(subject).files(note)
    note(f"{name}: measuring")
    with ExitStack() as stack:
        field = Field(stack, subject, files)
        contestants = {
            engine: partial(median_seconds, field.call(engine, "best", args.threads), args.seconds)
            for engine in ("ours", "onnxruntime")
        }
        ours, theirs = interleaved(contestants, args.rounds).values()
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    return Row(subject.title, Spread.of(ours), Spread.of(theirs), Spread.of(ratios))


def _cells(row: Row) -> str:
    times = " | ".join(
        f"{1e3 * s.median:.2f} [{1e3 * s.low:.2f} .. {1e3 * s.high:.2f}]"
        for s in (row.ours, row.theirs)
    )
    r = row.ratio
    return f"| {row.title} | {times} | {r.median:.2f} [{r.low:.2f} .. {r.high:.2f}] |"


def compare(args: argparse.Namespace) -> None:
    """Print the table, row by row."""
    print("| model | ours, ms | onnxruntime, ms | onnxruntime / ours |\n|---|---|---|---|")
    rows: list[Row] = []
    for name in args.models:
        rows.append(measure(name, args))
        print(_cells(rows[-1]), flush=True)
    mean = statistics.geometric_mean([row.ratio.median for row in rows])
    print(f"| geometric mean |  |  | {mean:.2f} |")


def main() -> int:
    """Start the restricted child, or be it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--models", nargs="+", choices=SUBJECTS, default=list(_MODELS))
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.1, help="per engine and round")
    parser.add_argument("--prepare", action="store_true", help="only make the files")
    args = parser.parse_args()
    if args.prepare:
        for name in args.models:
            Workshop(SUBJECTS[name]).files(note)
    elif os.environ.get(restricted.CHILD):
        compare(args)
    else:
        return restricted.run(sys.argv[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
