"""What int8 costs on real models, in what they are for, on pictures that did not calibrate them.

    python benchmarks/accuracy.py [MODEL ...] [--target] [--json FILE]

For every model the float answers of onnxruntime beside those of the compiled file on the software
NPU: signal over noise of every output, and the verdict that suits the model (the same class, the
overlap of boxes or maps, the same text, distance of key points). The bars are printed beside.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import onnx

import maccel_aio
from maccel_aio import sync
from maccel_aio.compiler.report import CompileReport
from open_set.real import open_float
from open_set.subjects import CASES, Case
from open_set.verdicts import Figures, Outputs, decibels


@dataclass(frozen=True)
class Row:
    """What one compilation came to."""

    figures: Figures
    wide: float
    seconds: float


def _float_answers(model: onnx.ModelProto, case: Case) -> list[Outputs]:
    session = open_float(model, case.model.shapes)
    (name,) = case.model.shapes
    return [session.run(None, {name: feed}) for feed in case.feeds(case.judged())]


def _answers(path: Path, case: Case) -> list[Outputs]:
    with sync.Accelerator("soft:0") as device, sync.load(path, accelerator=device) as model:
        return [
            [output.copy() for output in model.infer([feed])] for feed in case.feeds(case.judged())
        ]


def _compile(model: onnx.ModelProto, case: Case, path: Path) -> CompileReport:
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
    )
    return report


def judge(case: Case, folder: Path) -> Row:
    """Compile one model and return its figures."""
    model = case.model.build()
    exact = _float_answers(model, case)
    began = time.perf_counter()
    report = _compile(model, case, folder / "model.mxq")
    seconds = time.perf_counter() - began
    found = _answers(folder / "model.mxq", case)
    figures = {f"output {k} dB": value for k, value in enumerate(decibels(exact, found))}
    return Row(figures | case.verdict(exact, found), 1 - report.int8_share, seconds)


def _shown(case: Case, figures: Figures) -> str:
    cells = []
    for name, value in figures.items():
        bar = case.wanted.get(name)
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
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    args = parser.parse_args()
    kept = {}
    for name in args.models:
        with tempfile.TemporaryDirectory() as folder:
            row = judge(CASES[name], Path(folder))
        print(f"{CASES[name].model.title}: {_shown(CASES[name], row.figures)}")
        print(f"    {row.wide:.1%} of the work outside int8, compiled in {row.seconds:.1f} s")
        sys.stdout.flush()
        kept[name] = row.figures | {"wide": row.wide, "seconds": row.seconds}
    if args.json:
        args.json.write_text(json.dumps(kept, indent=1))


if __name__ == "__main__":
    main()
