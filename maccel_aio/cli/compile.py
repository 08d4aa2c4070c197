"""``maccel-aio compile``: from ONNX to a model file of this library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from maccel_aio.cli._compile_page import page
from maccel_aio.cli._compile_table import show
from maccel_aio.cli._compile_target import parse_target
from maccel_aio.cli._layer_costs import layer_costs
from maccel_aio.errors import InvalidError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from maccel_aio.cli._console import Console
    from maccel_aio.compiler import QuantizeOptions


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
    parser.add_argument(
        "--rounding",
        choices=("nearest", "compensated"),
        default="nearest",
        help="of weights: compensated lets errors of linear layers and 1x1 convolutions cancel",
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
    return QuantizeOptions(precision=edges, rounding=args.rounding)


def _one_or_several(sources: list[Path] | None) -> Path | list[Path] | None:
    return sources[0] if sources and len(sources) == 1 else sources
