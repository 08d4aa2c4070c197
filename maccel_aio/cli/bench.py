"""``maccel-aio bench``: latency, throughput, and what is lost on the way to the device."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import numpy as np

from maccel_aio.cli._console import bar_text, time_text
from maccel_aio.cli._layers import layer_figures, measure_layers, show_layers
from maccel_aio.cli._measure import Bench, Figures, Spread, random_inputs
from maccel_aio.cli._report import Run, report
from maccel_aio.cli._segments import measure_segments, plain_segments, show_segments

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from maccel_aio import Accelerator, Peaks, TensorSpec
    from maccel_aio.cli._console import Cell, Console
    from maccel_aio.cli._layers import LayerFigure


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the program's parser."""
    parser = commands.add_parser(
        "bench",
        help="measure latency, throughput and efficiency of a .mxq file",
        description="Latency is one request at a time; throughput keeps DEPTH in flight; the speed "
        "run counts computing alone, and efficiency is throughput as a share of it.",
    )
    parser.add_argument("model", type=Path, help="a compiled model (.mxq)")
    parser.add_argument("--device", default="auto", help="as for Accelerator (default: auto)")
    parser.add_argument("--depth", type=_positive, help="requests in flight (default: 2 a core)")
    parser.add_argument("--seconds", type=_duration, default=1.0, help="of each part of a round")
    parser.add_argument("--rounds", type=_positive, default=3, help="rounds (default: 3)")
    parser.add_argument(
        "--peer", type=Path, metavar="ONNX", help="measure onnxruntime on this file in turn"
    )
    parser.add_argument("--peer-threads", type=_positive, default=1, help="of onnxruntime")
    parser.add_argument(
        "--layers", action="store_true", help="show what every layer does with one core"
    )
    parser.add_argument(
        "--report", type=Path, metavar="HTML", help="write figures, layers and a roofline as a page"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number from 1, got {text!r}")
    return int(text)


def _duration(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"wanted seconds above 0, got {text!r}")
    return seconds


def _run(args: argparse.Namespace, console: Console) -> int:
    if args.report is not None:
        args.report.touch()  # before all the work, if it cannot be written
    plain = anyio.run(_measure, args, console)
    console.result(plain)
    return 0


async def _measure(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    import maccel_aio

    async with (
        maccel_aio.Accelerator(args.device) as accelerator,
        maccel_aio.load(args.model, accelerator=accelerator) as model,
    ):
        workers = accelerator.info.workers
        depth = args.depth or 2 * workers
        peer = None
        if args.peer is not None:
            specs = model.inputs
            peer = await anyio.to_thread.run_sync(
                lambda: onnxruntime_peer(args.peer, specs, args.peer_threads)
            )
        bench = Bench(accelerator, model, depth=depth, seconds=args.seconds, peer=peer)
        with console.progress(f"bench {args.model.name}", args.rounds) as task:
            await bench.warm_up()
            for number in range(args.rounds):
                task.update(number, note=f"round {number + 1} of {args.rounds}")
                await bench.round()
        about = {"device": accelerator.info.name, "cores": workers, "depth": depth}
        console.heading(f"{args.model.name} on {accelerator.info.name}, {workers} cores")
        show_figures(console, bench.figures, depth, args.peer_threads)
        plain = {"model": str(args.model), **about, **plain_figures(bench.figures)}
        if len(model.manifest.variants[0].segments) > 1:
            segments = await measure_segments(model, random_inputs(model.inputs))
            show_segments(console, segments)
            plain["segments"] = plain_segments(segments)
        if args.layers or args.report is not None:
            plain |= await _layers(args, console, accelerator, bench.figures)
    return plain


async def _layers(
    args: argparse.Namespace, console: Console, accelerator: Accelerator, figures: Figures
) -> dict[str, Any]:
    """Measure, show and report the layers, on one core: that is what the peaks are of."""
    import maccel_aio

    one_core = maccel_aio.ModelConfig(1)
    async with maccel_aio.load(args.model, one_core, accelerator=accelerator) as model:
        with console.progress("layers"):
            peaks = await anyio.to_thread.run_sync(maccel_aio.measure_peaks)
            windows = await measure_layers(model)
    manifest = maccel_aio.read_manifest(args.model)
    layers = layer_figures(windows, manifest, peaks)
    if args.layers and layers:
        console.heading("layers on one core")
        show_layers(console, layers, peaks)
    if args.report is not None:
        run = Run(args.model.name, accelerator.info, manifest, figures, layers, peaks)
        args.report.write_text(report(run), encoding="utf-8")
        console.line(f"  wrote {args.report}")
    return _plain_layers(layers, peaks)


def onnxruntime_peer(path: Path, specs: Sequence[TensorSpec], threads: int) -> Callable[[], object]:
    """Return a function that runs `path` once in onnxruntime, on float inputs like ours.

    Raises:
        OSError: there is no such file.
        ValueError: onnxruntime cannot run it on inputs like ours.
    """
    import onnxruntime

    path.stat()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    plain = [spec._replace(preprocess=None) for spec in specs]
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        feed = dict(zip((i.name for i in session.get_inputs()), random_inputs(plain), strict=True))
        session.run(None, feed)
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise ValueError(f"{path} cannot be measured beside the model: {error}") from error
    return lambda: session.run(None, feed)


def _spread(spread: Spread) -> str:
    return f"{spread.median:,.1f}  [{spread.low:,.1f} .. {spread.high:,.1f}]"


def show_figures(console: Console, figures: Figures, depth: int, peer_threads: int) -> None:
    """Print the figures of a bench."""
    values: dict[str, Cell] = {
        f"latency {name}": time_text(value) for name, value in figures.percentiles().items()
    }
    busy = float(np.median(figures.busy_share))
    values |= {
        "throughput": (f"{_spread(Spread.of(figures.throughput))} /s at depth {depth}", "accent"),
        "speed run": f"{_spread(Spread.of(figures.speedrun))} /s",
        "utilisation": f"{bar_text(busy)} {busy:.0%}",
        "efficiency": f"{bar_text(figures.efficiency)} {figures.efficiency:.0%} of the speed run",
    }
    if figures.peer_s:
        ratio, peer = figures.peer_ratio(), Spread.of(figures.peer_s)
        values["onnxruntime p50"] = f"{time_text(peer.median)} with {peer_threads} thread(s)"
        values["ratio"] = (
            f"{ratio.median:.2f}x faster  [{ratio.low:.2f} .. {ratio.high:.2f}]",
            "good" if ratio.median >= 1 else "bad",
        )
    console.fields(values)


def plain_figures(figures: Figures) -> dict[str, Any]:
    """Return the figures of a bench as plain JSON values; times in seconds."""
    plain: dict[str, Any] = {
        "latency_s": figures.percentiles(),
        "throughput_per_s": Spread.of(figures.throughput)._asdict(),
        "speedrun_per_s": Spread.of(figures.speedrun)._asdict(),
        "utilisation": float(np.median(figures.busy_share)),
        "efficiency": figures.efficiency,
    }
    if figures.peer_s:
        plain["peer_latency_s"] = Spread.of(figures.peer_s)._asdict()
        plain["peer_ratio"] = figures.peer_ratio()._asdict()
    return plain


def _plain_layers(layers: Sequence[LayerFigure], peaks: Peaks) -> dict[str, Any]:
    return {"layers": [layer.plain() for layer in layers], "peaks": peaks._asdict()}
