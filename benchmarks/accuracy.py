"""What int8 costs on real models, in what they are for, on pictures that did not calibrate them.

    python benchmarks/accuracy.py [MODEL ...] [--target] [--json FILE]

For every model the float answers of onnxruntime beside those of the compiled file on the software
NPU: signal over noise of every output, and the verdict that suits the model (the same class, the
overlap of boxes or maps, the same text, distance of key points). The bars are printed beside.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import onnx

import maccel_aio
from maccel_aio import sync
from maccel_aio.compiler import AccuracyTarget
from maccel_aio.compiler.report import CompileReport
from open_set.real import open_float
from open_set.subjects import CASES, Case
from open_set.verdicts import Figures, Outputs, decibels

_TURNS = 9


@dataclass(frozen=True)
class Row:
    """What one compilation came to.

    Attributes:
        figures: of the verdict.
        wide: share of the multiply-accumulates outside int8; after a search, of those that read
            more than 8 bits.
        seconds: the compilation took.
        slower: time of an inference over that of the default; 1 for the default itself.
    """

    figures: Figures
    wide: float
    seconds: float
    slower: float


def _float_answers(model: onnx.ModelProto, case: Case) -> list[Outputs]:
    session = open_float(model, case.model.shapes)
    (name,) = case.model.shapes
    return [session.run(None, {name: feed}) for feed in case.feeds(case.judged())]


def _answers(path: Path, case: Case) -> list[Outputs]:
    with sync.Accelerator("soft:0") as device, sync.load(path, accelerator=device) as model:
        return [
            [output.copy() for output in model.infer([feed])] for feed in case.feeds(case.judged())
        ]


def _compile(model: onnx.ModelProto, case: Case, path: Path, target: float | None) -> CompileReport:
    (name,) = case.model.shapes
    how = case.model.preprocess
    assert how is not None
    report: CompileReport = maccel_aio.compile(
        model,
        path,
        calibration={name: case.feeds(case.calibration())},
        shapes=case.model.shapes,
        preprocess={"mean": how.mean, "std": how.std},
        measure=0,
        accuracy=None if target is None else AccuracyTarget(target, most_wide=case.most_wide),
    )
    return report


def _slowdown(path: Path, case: Case, plain: Path) -> float:
    """Return how many times as long as `plain` a file takes: the median of turns."""
    feed = case.feeds(case.judged())[0]
    with (
        sync.Accelerator("soft:0") as device,
        sync.load(path, accelerator=device) as model,
        sync.load(plain, accelerator=device) as other,
    ):
        ratios = []
        for _ in range(_TURNS):
            times = []
            for one in (model, other):
                one.infer([feed])
                began = time.perf_counter()
                one.infer([feed])
                times.append(time.perf_counter() - began)
            ratios.append(times[0] / times[1])
    return statistics.median(ratios)


def judge(case: Case, folder: Path, *, target: bool) -> Row:
    """Compile one model and return its figures; with `target`, of what the search made of it."""
    model = case.model.build()
    exact = _float_answers(model, case)
    began = time.perf_counter()
    report = _compile(model, case, folder / "model.mxq", case.target if target else None)
    seconds = time.perf_counter() - began
    slower = 1.0
    if target:
        _compile(model, case, folder / "plain.mxq", None)
        slower = _slowdown(folder / "model.mxq", case, folder / "plain.mxq")
    found = _answers(folder / "model.mxq", case)
    figures = {f"output {k} dB": value for k, value in enumerate(decibels(exact, found))}
    verdict = case.verdict(exact, found)
    wide = 1 - report.int8_share if report.search is None else report.search.wide
    return Row(figures | verdict, wide, seconds, slower)


def _shown(wanted: Mapping[str, float], figures: Figures) -> str:
    cells = []
    for name, value in figures.items():
        bar = wanted.get(name)
        mark = ""
        if bar is not None:
            good = value <= bar if name.endswith("%") else value >= bar
            mark = f" ({'reaches' if good else 'MISSES'} {bar:g})"
        cells.append(f"{name} {value:.4g}{mark}")
    return ", ".join(cells)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("--target", action="store_true", help="also search for the targets")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    args = parser.parse_args()
    kept = {}
    for name in args.models:
        case = CASES[name]
        for target in (False, True) if args.target and case.target else (False,):
            with tempfile.TemporaryDirectory() as folder:
                row = judge(case, Path(folder), target=target)
            limit = f", at most {case.most_wide:.0%} wide" if case.most_wide < 1 else ""
            what = f"{case.target:g} dB wanted{limit}" if target else "default"
            shown = _shown({} if target else case.wanted, row.figures)
            print(f"{case.model.title}, {what}: {shown}")
            print(
                f"    {row.wide:.1%} of the work outside int8, {row.slower:.2f} times the time, "
                f"compiled in {row.seconds:.1f} s",
                flush=True,
            )
            kept[f"{name}, {what}"] = asdict(row)
    if args.json:
        args.json.write_text(json.dumps(kept, indent=1))


if __name__ == "__main__":
    main()
