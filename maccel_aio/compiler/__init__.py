"""The compiler: ONNX models to ``.mxq`` files. Needs the extra ``compiler``."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from maccel_aio.compiler import container
from maccel_aio.compiler.build import Built, build, current
from maccel_aio.compiler.importer import ModelLike, import_model
from maccel_aio.compiler.ir import CompileError, Graph, Node
from maccel_aio.compiler.measure import Measurement, find_taps, tap
from maccel_aio.compiler.measure import measure as measure_file
from maccel_aio.compiler.numeric import NumericResult, Observed, observe_graph
from maccel_aio.compiler.partition import Segment, partition
from maccel_aio.compiler.passes import run_passes
from maccel_aio.compiler.precision import store_float_weights
from maccel_aio.compiler.quantize import QuantizeOptions, quantise
from maccel_aio.compiler.report import CompileReport
from maccel_aio.compiler.search import AccuracyTarget, SearchReport, search
from maccel_aio.compiler.state import StateOptions
from maccel_aio.compiler.unscale import unscale
from maccel_aio.errors import MaccelError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike

    from maccel_aio.compiler.inputs import Source
    from maccel_aio.compiler.numeric import PreprocessLike

    Progress = Callable[[str, int, int], None]

__all__ = [
    "AccuracyTarget",
    "CompileError",
    "CompileReport",
    "QuantizeOptions",
    "StateOptions",
    "compile",
]

Precision = Literal["int8", "float32", "bfloat16"]


@dataclass
class _Clock:
    """Times the steps of one compilation and reports them."""

    progress: Progress | None
    seconds: dict[str, float] = field(default_factory=dict)

    def tell(self, step: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(step, done, total)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.tell(name, 0, 1)
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began
        self.tell(name, 1, 1)


@dataclass(frozen=True)
class _Wishes:
    """What `compile` is asked for beside shapes and calibration, as its arguments say."""

    preprocess: PreprocessLike | Mapping[str, PreprocessLike] | None
    name: str | None
    progress: Progress | None
    precision: Precision
    simplify: bool
    quantize: QuantizeOptions
    measure: int
    l2_bytes: int
    state: StateOptions | None
    accuracy: AccuracyTarget | None
    constants: Mapping[str, ArrayLike] | None
    cache: str | os.PathLike[str] | None


def compile(  # noqa: A001, PLR0913 - the public name, and keywords that each stand alone
    model: ModelLike,
    out: str | os.PathLike[str],
    *,
    calibration: Source | list[Source] | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    variants: Sequence[Mapping[str, Sequence[int]]] | None = None,
    preprocess: PreprocessLike | Mapping[str, PreprocessLike] | None = None,
    name: str | None = None,
    progress: Progress | None = None,
    precision: Precision = "int8",
    simplify: bool = True,
    quantize: QuantizeOptions | None = None,
    measure: int = 4,
    l2_bytes: int = 0,
    state: StateOptions | None = None,
    accuracy: AccuracyTarget | float | None = None,
    constants: Mapping[str, ArrayLike] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> CompileReport:
    """Compile an ONNX model to a ``.mxq`` file. Blocks; any thread.

    Args:
        model: path, bytes or ``onnx.ModelProto``; float, or quantised with QDQ pairs.
        out: the file to write; replaced at once when everything is done.
        calibration: samples that show the ranges of all tensors: ``{input: float array with a
            leading sample axis}``, an array, a directory of pictures, or a ``.npz`` file. May be
            left out for QDQ models and with ``precision="float32"`` or
            ``"bfloat16"``. A list has one for each of the variants.
        shapes: fixed shapes of inputs by name; they win over what the model says.
        variants: several sets of such shapes, the preferred ones first: one file holds all, and a
            call takes the first that its arrays fit. What `shapes` says holds for every one.
        preprocess: how uint8 pixels become model inputs: ``mean``, ``std``, ``channels``; for all
            image inputs, or by input name.
        name: of the model in the file; the file name without suffix when left out.
        progress: called with the step's name, the work done and the work in all.
        precision: ``"float32"`` computes everything in float; ``"bfloat16"`` too, with weights
            that are rounded to bfloat16 and take half the memory.
        simplify: run onnxslim first.
        quantize: how to quantise; the defaults are the measured ones.
        measure: with how many calibration samples the compiled layers are compared with the float
            model, by running them on the software NPU; 0 leaves these figures out.
        l2_bytes: second level cache of a core of the target, to run chains of layers whose images
            are many times as large band by band: a smaller arena, and on one core a little faster,
            but slower where cores share an inference. The results are the same. 0: no bands.
        state: inputs and outputs that the model keeps from one call to the next.
        accuracy: what the program has to reach, such as 30.0 for 30 dB at every output: tensors
            that cost much of it are then stored in 16 bits. None: nothing leaves 8 bits for it.
        constants: values of inputs that are always the same, such as a sampling rate: the model
            has them no more, and what depends on them alone is computed now.
        cache: folder in which calibration runs are kept, to be used when model, samples and what
            is asked of them are the same again; the file is the same with and without. None: no.

    Returns:
        What was done, layer by layer. Operators without an NPU form run on the CPU, and the report
        says why. With variants, the report of the first; its `variants` are those of all.

    Raises:
        CompileError: the model cannot be read, or a shape or the calibration is missing.
        InvalidError: the calibration data or the preprocessing does not fit.
        FileNotFoundError: the model, the calibration data or the folder of `out` does not exist.
        OSError: there is something at `out` that is no plain file.
    """
    wishes = _Wishes(
        preprocess, name, progress, precision, simplify, quantize or QuantizeOptions(), measure,
        l2_bytes, state, _target(accuracy), constants, cache,
    )  # fmt: skip
    if variants is not None:
        sets = [{**(shapes or {}), **one} for one in variants]
        return _several(model, out, calibration, sets, wishes)
    if isinstance(calibration, list):
        raise CompileError("a list of calibration data needs as many variants")
    return _one(model, out, calibration, shapes, wishes)


def _several(
    model: ModelLike,
    out: str | os.PathLike[str],
    calibration: Source | list[Source] | None,
    variants: Sequence[Mapping[str, Sequence[int]]],
    wishes: _Wishes,
) -> CompileReport:
    from maccel_aio.compiler.variants import compile_variants

    reports = compile_variants(model, out, variants, calibration=calibration, **vars(wishes))
    return replace(reports[0], variants=tuple(reports))


def _one(
    model: ModelLike,
    out: str | os.PathLike[str],
    calibration: Source | None,
    shapes: Mapping[str, Sequence[int]] | None,
    wishes: _Wishes,
) -> CompileReport:
    precision, state, options = wishes.precision, wishes.state, wishes.quantize
    _check_wishes(precision, out)
    clock = _Clock(wishes.progress)
    with clock.step("import"):
        graph = import_model(
            model, shapes=shapes, constants=wishes.constants, name=wishes.name,
            simplify=wishes.simplify,
        )  # fmt: skip
        run_passes(graph)
        segments = _checked(graph, partition(graph), state)
        store_float_weights(graph, "bf16" if precision == "bfloat16" else options.float_weights)
    numbers, searched = _numbers(graph, segments, calibration, wishes, clock)
    with clock.step("measure"):
        found = _measured(graph, segments, numbers, precision, wishes.measure)
    with clock.step("lower"):
        built = build(graph, segments, numbers, precision, found, wishes.l2_bytes, state)
        written = container.write(out, built.data)
    return _report(graph, built, numbers, str(written), clock, found, searched)


def _check_wishes(precision: str, out: str | os.PathLike[str]) -> None:
    if precision not in ("int8", "float32", "bfloat16"):
        raise CompileError(f"precision {precision!r}: it is 'int8', 'float32' or 'bfloat16'")
    container.check_target(out)


def _target(accuracy: AccuracyTarget | float | None) -> AccuracyTarget | None:
    if accuracy is None or isinstance(accuracy, AccuracyTarget):
        return accuracy
    return AccuracyTarget(float(accuracy))


def _measured(
    graph: Graph,
    segments: list[Segment],
    numbers: NumericResult,
    precision: Precision,
    count: int,
) -> Measurement:
    if count <= 0 or numbers.samples is None:
        return Measurement()
    samples = numbers.samples.head(count)
    now = [current(graph, segment) for segment in segments]
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="maccel-") as folder:
        path = Path(folder) / "tapped.mxq"
        try:
            for names in find_taps(graph, now):
                wider, tapped = tap(graph, now, names)
                container.write(path, build(wider, tapped, numbers, precision).data)
                found.update(measure_file(path, wider, samples, numbers.scaled))
        except (MaccelError, ImportError) as error:
            return Measurement(found, f"noise was not measured: {error}")
    return Measurement(found)


def _checked(graph: Graph, segments: list[Segment], state: StateOptions | None) -> list[Segment]:
    if state is not None:
        state.to_json(graph)  # an error now, not after the calibration
    for node in graph.nodes:
        _check_weights(node)
    for segment in segments:
        for name in (*segment.inputs, *segment.outputs):
            if graph.tensors[name].outline is None:
                raise CompileError(
                    f"{name!r} has an unknown number of dimensions: it cannot leave {segment.name}"
                )
    return segments


def _check_weights(node: Node) -> None:
    if node.weights is None or node.reason:
        return
    for what, values in (("a weight", node.weights.kernel), ("a bias", node.weights.bias)):
        if not np.isfinite(values).all():
            raise CompileError(f"node {node.name!r}: {what} is not finite")


def _numbers(
    graph: Graph,
    segments: list[Segment],
    calibration: Source | None,
    wishes: _Wishes,
    clock: _Clock,
) -> tuple[NumericResult, SearchReport | None]:
    options = wishes.quantize
    if wishes.precision != "int8":
        return NumericResult(None, {}), None
    given = graph.given_scales
    if not any(_on_npu(node) for node in graph.nodes):
        calibration = None  # no formats to choose, and sizes of inputs may be variable
    elif calibration is None and given is None:
        raise CompileError(
            "int8 needs calibration data (pictures, arrays or .npz), or precision='float32'"
        )
    seen = observe_graph(
        graph,
        calibration,
        on_npu=_on_npu,
        preprocess=wishes.preprocess,
        given=given,
        options=options,
        progress=lambda done, total: clock.tell("calibrate", done, total),
        cache=None if wishes.cache is None else Path(wishes.cache),
    )
    clock.seconds.update(seen.result.seconds)
    report = None
    if wishes.accuracy is not None:
        options, report = _searched(graph, segments, seen, options, wishes.accuracy, clock)
    seen = unscale(graph, seen, options.precision.storage)
    with clock.step("quantise"):
        quantise(graph, seen.stats, on_npu=_on_npu, fixed=seen.fixed, given=given, options=options)
    return seen.result, report


def _searched(
    graph: Graph,
    segments: list[Segment],
    seen: Observed,
    options: QuantizeOptions,
    accuracy: AccuracyTarget,
    clock: _Clock,
) -> tuple[QuantizeOptions, SearchReport]:
    if graph.given_scales is not None:
        raise CompileError("an accuracy target needs a float model: this one brings its scales")
    with clock.step("search"):
        return search(
            graph,
            segments,
            seen,
            options,
            accuracy,
            on_npu=_on_npu,
            progress=lambda done, total: clock.tell("search", done, total),
        )


def _on_npu(node: Node) -> bool:
    return not node.reason


def _report(
    graph: Graph,
    built: Built,
    numbers: NumericResult,
    path: str,
    clock: _Clock,
    measured: Measurement,
    searched: SearchReport | None,
) -> CompileReport:
    outputs = {n: measured.tensors[n] for n in graph.outputs if n in measured.tensors}
    samples = numbers.samples
    return CompileReport(
        name=graph.name,
        path=path,
        layers=tuple(built.rows),
        output_sqnr_device_db=outputs,
        warnings=tuple(filter(None, (measured.warning, *_missed(searched)))),
        file_bytes=len(built.data),
        arena_bytes=built.arena_bytes,
        samples=0 if samples is None else len(samples),
        seconds=dict(clock.seconds),
        search=searched,
    )


def _missed(searched: SearchReport | None) -> list[str]:
    """Return warnings of what was asked of the search and not reached."""
    if searched is None:
        return []
    found = []
    if not searched.reached:
        found.append(
            f"the accuracy target was not reached: {searched.value:.4g} with {searched.wide:.1%} "
            "of the work outside 8 bits, which is the best that was found within the limits"
        )
    if not searched.in_time:
        found.append(
            f"the limit of time is out of reach: {searched.slower:.2f} times the time of 8 bits, "
            "and nothing is left to give up"
        )
    return found
