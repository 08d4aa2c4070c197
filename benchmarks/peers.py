"""Ours beside onnxruntime int8 and OpenVINO int8: all models, 1 and 2 threads, interleaved.

usage: python benchmarks/peers.py [--models NAME ...] [--threads 1 2] [--rounds 5] [--seconds .2]
                                  [--without costs layers choices extras] [--quick]
                                  [--json FILE] [--merge FILE ...] [--prepare]

The first tables feed every engine what it likes most, the second ones give all of them uint8 pixels
``[h, w, 3]`` and let each do the preprocessing its own way. Times are the medians of the rounds,
in brackets their range; ratios are computed inside each round and are above 1 where ours is faster.
Behind them: the work and how right it is, what precision costs us, the layers that lose most time,
what else the peers could get, throughput, memory and load time, and every bar with its figure.

All engines of a model are in one process and take turns; every model has a process of its own, so
that one that kills an engine takes nothing else with it. ``--json`` keeps the figures, and
``--merge`` prints the tables of several such files, of which the last that has a model wins.
``--prepare`` only makes the files (float models, the peers' int8 versions, ours), which are kept in
the zoo's cache.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openvino  # noqa: F401  (fails here, before anything is measured, where it is missing)

from peering import choices, costs, extras, profiles, table
from peering.artefacts import Files, Workshop
from peering.engines import ENGINES, INPUTS, Field
from peering.models import SUBJECTS, Subject
from peering.peak import Peak
from peering.recipes import RECIPES
from peering.rounds import interleaved, median_seconds
from peering.sanity import Judge, host_parts, macs, our_macs

if TYPE_CHECKING:
    from collections.abc import Callable

_SAMPLES = 8
_PATIENCE_S = 900
_SECTIONS = ("costs", "layers", "choices", "extras")
_CHOSEN = ("mobilenet_v2", "resnet50", "minilm")
"""Whose recipes and settings are compared."""


def note(text: str) -> None:
    """Tell what is being done, apart from the tables."""
    print(text, file=sys.stderr, flush=True)


def _times(field: Field, args: argparse.Namespace, peak: Peak) -> dict[str, list[float]]:
    """Return times of all contestants, and what is between them, by round."""
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
    return interleaved(contestants, args.rounds)


def _sections(subject: Subject, files: Files, args: argparse.Namespace) -> dict[str, Any]:
    """Return what is measured beside the whole model."""
    found: dict[str, Any] = {}
    if "costs" not in args.without:
        found["costs"] = costs.measure(subject, args.rounds, args.seconds, note)
    if "layers" not in args.without:
        note(f"{subject.name}: layers")
        found["layers"] = profiles.measure(files.ours)
    if "choices" not in args.without and subject.name in args.choices:
        found["choices"] = choices.measure(subject, args.threads, args.rounds, note)
    return found


def measure(subject: Subject, args: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one model: times of all contestants by round, and their sanity."""
    workshop = Workshop(subject)
    files = workshop.files(note)
    note(f"{subject.name}: measuring")
    with ExitStack() as stack:
        field = Field(stack, subject, files)
        rounds = _times(field, args, Peak())
        judge = Judge(subject, files.real, _SAMPLES)
        sanity = {
            "ours": judge.ours(field.ours(args.threads[0])),
            "peer": judge.peer(files.quantised["onnxruntime"]),
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
        "recipes": dict(subject.recipes),
        **_sections(subject, files, args),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--models", nargs="*", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], metavar="N")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2, help="per engine and round")
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
    parser.add_argument(
        "--choices",
        nargs="*",
        metavar="MODEL",
        choices=SUBJECTS,
        default=list(_CHOSEN),
        help="for which peers get other recipes and settings too (default: three)",
    )
    parser.add_argument("--without", nargs="*", choices=_SECTIONS, default=[], help="leave out")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 3, 0.05
    return args


def _measured(args: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of the only model."""
    (name,) = args.models
    found: dict[str, Any] = {"models": {name: measure(SUBJECTS[name], args)}, "extras": {}}
    if args.extras == name and "extras" not in args.without:
        files = Workshop(SUBJECTS[name]).files(note)
        note(f"{name}: throughput, memory, load time")
        found["extras"][name] = extras.measure(SUBJECTS[name], files, args.rounds, args.seconds)
    return found


def _apart(args: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of several models, each measured by a process of its own."""
    several = []
    for name in args.models:
        with tempfile.TemporaryDirectory(prefix="peers-") as folder:
            path = Path(folder) / "figures.json"
            command = [sys.executable, __file__, "--models", name, "--json", str(path)]
            command += ["--rounds", str(args.rounds), "--seconds", str(args.seconds)]
            command += ["--threads", *map(str, args.threads), "--extras", args.extras]
            command += ["--choices", *args.choices, "--without", *args.without]
            try:
                done = subprocess.run(
                    command, stdout=subprocess.DEVNULL, check=False, timeout=_PATIENCE_S
                )
                reason = f"status {done.returncode}" if done.returncode else ""
            except subprocess.TimeoutExpired:
                reason = f"not done after {_PATIENCE_S} s"
            if reason:
                note(f"{name}: {reason}")
                several.append({"failed": {name: reason}})
            else:
                several.append(json.loads(path.read_text("utf-8")))
        if args.json:
            args.json.write_text(json.dumps(table.merged(several), indent=1), "utf-8")
    return table.merged(several)


def _prepare(args: argparse.Namespace) -> None:
    """Make all files that will be measured."""
    for name in args.models:
        workshop = Workshop(SUBJECTS[name])
        workshop.files(note)
        if "costs" not in args.without:
            costs.variants(workshop, note)
        if "choices" not in args.without and name in args.choices:
            for recipe in RECIPES:
                workshop.quantised(recipe, note)


def main() -> None:
    args = _arguments()
    if args.prepare:
        _prepare(args)
        return
    if args.merge:
        found = table.merged([json.loads(path.read_text("utf-8")) for path in args.merge])
    else:
        found = _measured(args) if len(args.models) == 1 else _apart(args)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1), "utf-8")
    print(table.text(found))


if __name__ == "__main__":
    main()
