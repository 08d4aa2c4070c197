"""Ours beside onnxruntime int8 and OpenVINO int8: all models, 1 and 2 threads, interleaved.

usage: python benchmarks/peers.py [--models NAME ...] [--threads 1 2] [--rounds 7] [--seconds .25]
                                  [--json FILE] [--merge FILE ...] [--prepare] [--quick]

The first table feeds every engine what it likes most, the second one gives all of them uint8 pixels
``[h, w, 3]`` and lets each do the preprocessing its own way. Times are the medians of the rounds,
in brackets their range; ratios are computed inside each round and are above 1 where ours is faster.

All engines are in one process and take turns. A model can be measured by itself: ``--json`` keeps
its figures, and ``--merge`` prints the tables of several such files. ``--prepare`` only makes the
files (the float model, onnxruntime's int8 version, ours), which are kept in the zoo's cache.
"""

import argparse
import json
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openvino  # noqa: F401  (fails here, before anything is measured, where it is missing)

from peering import extras, table
from peering.artefacts import Workshop
from peering.engines import ENGINES, INPUTS, Field
from peering.models import SUBJECTS, Subject
from peering.peak import Peak
from peering.rounds import interleaved, median_seconds
from peering.sanity import Judge, host_parts, macs, our_macs

if TYPE_CHECKING:
    from collections.abc import Callable

_SAMPLES = 8


def note(text: str) -> None:
    """Tell what is being done, apart from the tables."""
    print(text, file=sys.stderr, flush=True)


def measure(subject: Subject, args: argparse.Namespace, peak: Peak) -> dict[str, Any]:
    """Return the figures of one model: times of all contestants by round, and their sanity."""
    workshop = Workshop(subject)
    files = workshop.files(note)
    note(f"{subject.name}: measuring")
    with ExitStack() as stack:
        field = Field(stack, subject, files)
        contestants: dict[str, Callable[[], float]] = {}
        for threads in args.threads:
            for engine in ENGINES:
                for inputs in INPUTS:
                    if engine == "ours" and inputs != INPUTS[0]:
                        continue  # pixels are what it likes most
                    if inputs == "pixels" and field.pixels is None:
                        continue
                    call = field.call(engine, inputs, threads)
                    key = f"{engine} {inputs} {threads}"
                    contestants[key] = partial(median_seconds, call, args.seconds)
            contestants[f"ours compute {threads}"] = partial(field.ours(threads).speedrun, 5)
        if peak.known:
            contestants["peak"] = peak.gops
        rounds = interleaved(contestants, args.rounds)
        judge = Judge(subject, files.real, _SAMPLES)
        sanity = {
            "ours": judge.ours(field.ours(args.threads[0])),
            "peer": judge.peer(files.quantised),
        }
    return {
        "title": subject.title,
        "classifier": subject.classifier,
        "macs": macs(workshop.model),
        "our_macs": our_macs(files.ours),
        "host_parts": host_parts(files.ours),
        "sqnr_db": {name: score[0] for name, score in sanity.items()},
        "agreement": {name: score[1] for name, score in sanity.items()},
        "rounds": rounds,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--models", nargs="*", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], metavar="N")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.25, help="per engine and round")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.05 seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--merge", nargs="+", type=Path, metavar="FILE", help="only print these")
    parser.add_argument("--prepare", action="store_true", help="only make the files")
    parser.add_argument(
        "--extras",
        metavar="MODEL",
        choices=[*SUBJECTS, "none"],
        default="resnet50",
        help="whose throughput, memory and load time are measured (default: resnet50)",
    )
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 3, 0.05
    return args


def _measured(args: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {"models": {}, "extras": {}}
    peak = Peak()
    for name in args.models:
        found["models"][name] = measure(SUBJECTS[name], args, peak)
    if args.extras != "none":
        subject = SUBJECTS[args.extras]
        files = Workshop(subject).files(note)
        note(f"{subject.name}: throughput, memory, load time")
        found["extras"][args.extras] = extras.measure(subject, files, args.rounds, args.seconds)
    return found


def main() -> None:
    args = _arguments()
    if args.prepare:
        for name in args.models:
            Workshop(SUBJECTS[name]).files(note)
        return
    if args.merge:
        found = table.merged([json.loads(path.read_text("utf-8")) for path in args.merge])
    else:
        found = _measured(args)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1), "utf-8")
    print(table.text(found))


if __name__ == "__main__":
    main()
