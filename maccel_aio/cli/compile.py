"""``maccel-aio compile``: from ONNX to a model file of this library."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maccel_aio.cli._compile_page import page
from maccel_aio.cli._console import Column, size_text
from maccel_aio.cli._layer_costs import layer_costs
from maccel_aio.errors import InvalidError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from maccel_aio.cli._console import Cell, Console, Tone
    from maccel_aio.compiler import AccuracyTarget, QuantizeOptions
    from maccel_aio.compiler.report import CompileReport, LayerReport
    from maccel_aio.compiler.search import SearchReport

_LOW_DB = 15.0
"""Layers below this stand out in the table."""

_DEAREST = 5


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the program's parser."""
    parser = commands.add_parser("compile", help="compile an ONNX model into a .mxq file")
    parser.add_argument("model", type=Path, help="an ONNX model, float or quantised (QDQ)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the file to write (.mxq)")
    parser.add_argument(
        "--calibration",
        type=Path,
        action="append",
        help="a directory of pictures, a .npz with an array per input, or a .npy; "
        "may be left out for a quantised model, and repeated: one for each --variant",
    )
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=1x3x224x224",
        help="fix the shape of an input; may be repeated; -1 for a dimension of variable length",
    )
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME=1x3x224x224[,NAME=...]",
        help="one of several sets of shapes in the file; a call takes the first that fits it",
    )
    parser.add_argument(
        "--preprocess",
        metavar="mean=127,std=128,channels=RGB",
        help="how pixels become model inputs; mean and std may be lists: mean=123,117,104,std=58",
    )
    _add_edges(parser)
    _add_target(parser)
    _add_files(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=_run)


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="calibrate anew, and do not keep the run for the next time",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="HTML",
        help="write graph, noise, precision, time and memory of every layer as a page",
    )


def _add_edges(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wide-first",
        type=int,
        default=0,
        metavar="N",
        help="store the results of the first N layers in 16 bits where little work reads them; "
        "4 gains most",
    )
    parser.add_argument(
        "--wide-last", action="store_true", help="store in 16 bits what the last layers read"
    )


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accuracy-target",
        metavar="30dB",
        help="store what costs most accuracy in 16 bits until every output has this ratio of "
        "signal to noise; with --metric the least value of that",
    )
    parser.add_argument(
        "--metric",
        metavar="my.module:fn",
        help="fn(exact, found) -> float judges answers, larger is better; each is a list with the "
        "list of outputs of every sample",
    )
    parser.add_argument(
        "--most-wide",
        metavar="25%",
        help="of the work, at most this share may leave 8 bits for the target (all)",
    )
    parser.add_argument(
        "--latency-budget",
        metavar="1.1x",
        help="longest inference for the target: 1.1x of the time in 8 bits, or 2.5ms; timed here",
    )


def parse_shapes(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return shapes by input name from ``NAME=1x3x224x224`` texts; -k is any multiple of k.

    Raises:
        InvalidError: a text has another form, or a name comes twice.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, equals, dims = text.rpartition("=")
        try:
            shape = tuple(int(size) for size in dims.lower().split("x"))
        except ValueError:
            shape = ()
        if not equals or not name or not shape or 0 in shape:
            raise InvalidError(f"--shape {text}: wanted NAME=1x3x224x224")
        if name in shapes:
            raise InvalidError(f"--shape {name} is given twice")
        shapes[name] = shape
    return shapes


def parse_variants(texts: Iterable[str]) -> list[dict[str, tuple[int, ...]]] | None:
    """Return sets of shapes from ``NAME=1x3x224x224,NAME=...`` texts; None without any.

    Raises:
        InvalidError: a text has another form.
    """
    found = []
    for text in texts:
        try:
            found.append(parse_shapes(text.split(",")))
        except InvalidError as error:
            raise InvalidError(f"--variant {text}: wanted NAME=1x3x224x224,NAME=...") from error
    return found or None


def parse_preprocess(text: str) -> dict[str, Any]:
    """Return a preprocessing description from ``mean=1,2,3,std=4,channels=RGB``.

    Raises:
        InvalidError: a part has no key, or a number is none.
    """
    values: dict[str, list[str]] = {}
    key = ""
    for part in text.split(","):
        name, equals, rest = part.partition("=")
        if equals:
            key = name.strip().lower()
            values[key] = [rest.strip()]
        elif key:
            values[key].append(part.strip())
        else:
            raise InvalidError(f"--preprocess {text}: {part!r} has no key, as mean=127 has")
    found: dict[str, Any] = {}
    for name, items in values.items():
        found[name] = items[0] if name == "channels" else _numbers(name, items)
    return found


def _numbers(name: str, items: list[str]) -> float | list[float]:
    try:
        numbers = [float(item) for item in items]
    except ValueError:
        raise InvalidError(f"--preprocess {name}={','.join(items)}: not numbers") from None
    return numbers[0] if len(numbers) == 1 else numbers


def parse_target(
    target: str | None, metric: str | None, most_wide: str | None, latency: str | None = None
) -> AccuracyTarget | None:
    """Return the accuracy that is asked for, or None.

    Raises:
        InvalidError: a text is no number, the metric cannot be imported, or there is something to
            judge or to limit, but no target.
    """
    if target is None:
        if metric is not None:
            raise InvalidError("--metric needs --accuracy-target, the least value of it")
        if most_wide is not None:
            raise InvalidError(
                "--most-wide limits what --accuracy-target may change: give that too, such as "
                "--accuracy-target 30dB"
            )
        if latency is not None:
            raise InvalidError(
                "--latency-budget limits what --accuracy-target may cost: give that too, such as "
                "--accuracy-target 30dB"
            )
        return None
    from maccel_aio.compiler import AccuracyTarget

    least = _number("--accuracy-target", target, "db")
    share = 1.0 if most_wide is None else _share("--most-wide", most_wide)
    judge = None if metric is None else load_metric(metric)
    return AccuracyTarget(least, judge, share, *_budget(latency))


def _budget(text: str | None) -> tuple[float, float]:
    """Return the most times of the 8-bit program's time, and the most seconds."""
    if text is None:
        return math.inf, math.inf
    if text.strip().lower().endswith("ms"):
        return math.inf, _number("--latency-budget", text, "ms") / 1e3
    return _number("--latency-budget", text, "x"), math.inf


def _share(option: str, text: str) -> float:
    number = _number(option, text, "%")
    return number / 100 if text.strip().endswith("%") else number


def _number(option: str, text: str, unit: str) -> float:
    try:
        return float(text.strip().lower().removesuffix(unit))
    except ValueError:
        raise InvalidError(f"{option} {text}: wanted a number such as 25{unit}") from None


def load_metric(text: str) -> Callable[..., float]:
    """Return the function that ``my.module:fn`` names; the current folder is searched too.

    Raises:
        InvalidError: there is no such module or function.
    """
    module, colon, name = text.partition(":")
    if not (module and colon and name):
        raise InvalidError(f"--metric {text}: wanted my.module:fn")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InvalidError(f"--metric {text} cannot be imported: {error}") from error
    if not callable(found):
        raise InvalidError(f"--metric {text} is no function")
    metric: Callable[..., float] = found
    return metric


def _run(args: argparse.Namespace, console: Console) -> int:
    shapes, variants = parse_shapes(args.shape), parse_variants(args.variant)
    preprocess = parse_preprocess(args.preprocess) if args.preprocess else None
    accuracy = parse_target(args.accuracy_target, args.metric, args.most_wide, args.latency_budget)

    if args.report is not None:
        args.report.touch()  # before all the work, if it cannot be written

    import maccel_aio
    from maccel_aio.compiler.calibration_cache import default_folder

    with console.progress(f"compile {args.model.name}") as task:
        report = maccel_aio.compile(
            args.model,
            args.output,
            calibration=_one_or_several(args.calibration),
            shapes=shapes,
            variants=variants,
            preprocess=preprocess,
            quantize=_quantize(args),
            accuracy=accuracy,
            cache=None if args.no_cache else default_folder(),
            progress=lambda step, done, total: task.update(done, total, step),
        )
    show(report, console)
    if args.report is not None:
        with console.progress("layers"):
            costs = layer_costs(args.output)
        args.report.write_text(page(report, costs), encoding="utf-8")
        console.line(f"  wrote {args.report}")
    return 0


def _quantize(args: argparse.Namespace) -> QuantizeOptions:
    from maccel_aio.compiler import QuantizeOptions
    from maccel_aio.compiler.precision import PrecisionOptions

    edges = PrecisionOptions(wide_first=args.wide_first, wide_last=args.wide_last)
    return QuantizeOptions(precision=edges)


def _one_or_several(sources: list[Path] | None) -> Path | list[Path] | None:
    return sources[0] if sources and len(sources) == 1 else sources


_COLUMNS = (
    Column("#", right=True),
    Column("layer"),
    Column("op"),
    Column("runs on"),
    Column("precision"),
    Column("MMACs", right=True),
    Column("weights", right=True),
    Column("SQNR dB", right=True),
)


def show(report: CompileReport, console: Console) -> None:
    """Print a report: of every variant the layer table, then what the whole came to."""
    for number, one in enumerate(report.variants or (report,)):
        _show(one, f", variant {number}" if report.variants else "", console)
    console.result(report.to_json())


def _show(report: CompileReport, which: str, console: Console) -> None:
    console.heading(f"{report.name}{which}: layers")
    console.table(_COLUMNS, [_row(layer) for layer in report.layers])
    if report.search is not None:
        console.heading("accuracy")
        console.fields(_accuracy(report.search))
    console.heading("result")
    console.fields(_overview(report))
    for warning in report.warnings:
        console.line(f"  warning: {warning}", "bad")


def _row(layer: LayerReport) -> list[Cell]:
    where = f"CPU: {layer.reason}" if layer.where == "cpu" else "NPU"
    return [
        str(layer.index),
        layer.name,
        layer.op,
        (where, "bad") if layer.where == "cpu" else where,
        layer.precision,
        f"{layer.macs / 1e6:.2f}" if layer.macs else ("-", "dim"),
        size_text(layer.weight_bytes) if layer.weight_bytes else ("-", "dim"),
        _decibel(layer.sqnr_device_db),
    ]


def _accuracy(search: SearchReport) -> dict[str, Cell]:
    """Return what the search came to, and which tensors cost most."""
    dearest = list(search.costs.items())[:_DEAREST]
    reached = "reached" if search.reached else "NOT reached"
    found: dict[str, Cell] = {
        "target": (f"{reached}: {search.value:.4g}", "good" if search.reached else "bad"),
        "wide": f"{search.wide:.1%} of the work on more than 8 bits, {len(search.tensors)} tensors "
        f"({len(search.floats)} float), {search.trials} programs tried",
        "still in 8 bits": f"{len(search.wide_weights)} layers with 16-bit weights, "
        f"{len(search.narrowed)} tensors with a narrower range",
        "most noise from": ", ".join(_dear(search, *one) for one in dearest) or "-",
    }
    if search.slower is not None:
        tone: Tone = "good" if search.in_time else "bad"
        found["time"] = (f"{search.slower:.2f} times that in 8 bits, on one core", tone)
    return found


def _dear(search: SearchReport, name: str, share: float) -> str:
    """Return a tensor with its share of the noise and the layers that read it."""
    layers = ", ".join(search.readers.get(name, ()))
    return f"{name} {share:.0%}" + (f" (read by {layers})" if layers else "")


def _decibel(value: float | None) -> Cell:
    if value is None:
        return ("-", "dim")
    text = f"{value:.1f}"
    return (text, "bad") if value < _LOW_DB else text


def _overview(report: CompileReport) -> dict[str, Cell]:
    fields: dict[str, Cell] = {
        "file": f"{report.path}  {size_text(report.file_bytes)}",
        "work": f"{report.macs / 1e6:.1f} M multiply-accumulates, "
        f"{report.npu_share:.1%} on the NPU, {report.int8_share:.1%} in int8",
        "memory": f"{size_text(report.arena_bytes)} for each request at work",
        "calibration": f"{report.samples} samples",
        "time": ", ".join(f"{name} {took:.1f} s" for name, took in report.seconds.items()),
    }
    dearest = report.dearest()[:_DEAREST]
    if dearest:
        fields["noisiest layers"] = ", ".join(
            f"{layer.name} ({layer.sqnr_device_db:.1f} dB)" for layer in dearest
        )
    for name, value in report.output_sqnr_device_db.items():
        fields[f"output {name}"] = f"{value:.1f} dB against float, on the software NPU"
    return fields
