"""Runs all cases: ``python -m tests.conformance [PART/PARTS]``. Exit status 1 if one fails."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path

import maccel_aio.sync as maccel
from tests.conformance import cases, runner


def main(part: str = "0/1") -> int:
    """Run a share of the cases and print what failed and where the others ran."""
    logging.disable(logging.WARNING)
    number, parts = map(int, part.split("/"))
    known = cases.load()[number::parts]
    every = [*known, *filter(None, map(cases.freeze, known))]
    with tempfile.TemporaryDirectory() as folder, maccel.Accelerator("soft:0") as acc:
        outcomes = [runner.run(case, acc, Path(folder)) for case in every]
    count = Counter(one.where if not one.problem else "failed" for one in outcomes if one.known)
    for one in outcomes:
        if one.known and one.problem:
            print(f"{one.name}: {one.problem}")  # noqa: T201
    skipped = sum(not one.known for one in outcomes)
    print(f"{len(outcomes)} cases, {skipped} that onnxruntime does not run; {dict(count)}")  # noqa: T201
    return 1 if count["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
