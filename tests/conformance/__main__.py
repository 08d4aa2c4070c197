"""Runs all cases: ``python -m tests.conformance [PART/PARTS]``. Exit status 1 if one fails.

Ends with a table: how many cases of each operator ran where.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import maccel_aio.sync as maccel
from tests.conformance import cases, runner

if TYPE_CHECKING:
    from collections.abc import Iterable


def main(part: str = "0/1") -> int:
    """Run a share of the cases and print what failed and where the others ran."""
    logging.disable(logging.WARNING)
    number, parts = map(int, part.split("/"))
    known = cases.load()[number::parts]
    every = [*known, *filter(None, map(cases.freeze, known))]
    with tempfile.TemporaryDirectory() as folder, maccel.Accelerator("soft:0") as acc:
        outcomes = [runner.run(case, acc, Path(folder)) for case in every]
    failed = [one for one in outcomes if one.known and one.problem]
    for one in failed:
        print(f"{one.name}: {one.problem}")  # noqa: T201
    skipped = sum(not one.known for one in outcomes)
    count = Counter(one.where for one in outcomes if one.known and not one.problem)
    total = f"{len(outcomes)} cases, {skipped} not run by onnxruntime, {len(failed)} failed"
    print(total, dict(count))  # noqa: T201
    for op, where in by_operator(outcomes).items():
        print(op, where)  # noqa: T201
    return 1 if failed else 0


def by_operator(outcomes: Iterable[runner.Outcome]) -> dict[str, dict[str, int]]:
    """Return for every operator how many of its cases ran where; "" is not in onnxruntime."""
    found: dict[str, Counter[str]] = {}
    for one in outcomes:
        if "+" not in one.op:  # cases of one operator only
            found.setdefault(one.op, Counter())[one.where] += 1
    return {op: dict(sorted(found[op].items())) for op in sorted(found)}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
