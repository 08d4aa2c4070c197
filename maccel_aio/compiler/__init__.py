"""The compiler: ONNX models to ``.mxq`` files. Needs the extra ``compiler``."""

from __future__ import annotations

import importlib.metadata
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from maccel_aio.compiler import container, manifest
from maccel_aio.compiler.importer import ModelLike, import_model
from maccel_aio.compiler.ir import CompileError, Graph, Node
from maccel_aio.compiler.isa import Section
from maccel_aio.compiler.lower import Lowered, lower_bundle
from maccel_aio.compiler.measure import Measurement, find_taps, tap
from maccel_aio.compiler.measure import measure as measure_file
from maccel_aio.compiler.numeric import NumericResult, quantise_graph
from maccel_aio.compiler.onnxgraph import extract
from maccel_aio.compiler.partition import Segment, partition
from maccel_aio.compiler.passes import run_passes
from maccel_aio.compiler.precision import macs, store_float_weights
from maccel_aio.compiler.program import encode
from maccel_aio.compiler.quantize import QuantizeOptions
from maccel_aio.compiler.report import CompileReport, LayerReport
from maccel_aio.compiler.state import StateOptions
from maccel_aio.errors import MaccelError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from maccel_aio.compiler.inputs import Source
    from maccel_aio.compiler.numeric import PreprocessLike
    from maccel_aio.compiler.preprocess import Preprocess

    Progress = Callable[[str, int, int], None]

__all__ = ["CompileError", "CompileReport", "QuantizeOptions", "StateOptions", "compile"]

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


def compile(  # noqa: A001, PLR0913 - the public name, and keywords that each stand alone
    model: ModelLike,
    out: str | os.PathLike[str],
    *,
    calibration: Source | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    preprocess: PreprocessLike | Mapping[str, PreprocessLike] | None = None,
    name: str | None = None,
    progress: Progress | None = None,
    precision: Precision = "int8",
    simplify: bool = True,
    quantize: QuantizeOptions | None = None,
    measure: int = 4,
    l2_bytes: int = 0,
    state: StateOptions | None = None,
) -> CompileReport:
    """Compile an ONNX model to a ``.mxq`` file. Blocks; any thread.

    Args:
        model: path, bytes or ``onnx.ModelProto``; float, or quantised with QDQ pairs.
        out: the file to write; replaced at once when everything is done.
        calibration: samples that show the ranges of all tensors: ``{input: float array with a
            leading sample axis}``, an array, a directory of pictures, or a ``.npz`` file. May be
            left out for QDQ models and with ``precision="float32"`` or
            ``"bfloat16"``.
        shapes: fixed shapes of inputs by name; they win over what the model says.
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

    Returns:
        What was done, layer by layer. Operators without an NPU form run on the CPU, and the report
        says why.

    Raises:
        CompileError: the model cannot be read, or a shape or the calibration is missing.
        InvalidError: the calibration data or the preprocessing does not fit.
        FileNotFoundError: the model, the calibration data or the folder of `out` does not exist.
        OSError: there is something at `out` that is no plain file.
    """
    if precision not in ("int8", "float32", "bfloat16"):
        raise CompileError(f"precision {precision!r}: it is 'int8', 'float32' or 'bfloat16'")
    container.check_target(out)
    clock = _Clock(progress)
    with clock.step("import"):
        graph = import_model(model, shapes=shapes, name=name, simplify=simplify)
        run_passes(graph)
        segments = _checked(graph, partition(graph))
        if state is not None:
            state.to_json(graph)  # an error now, not after the calibration
        options = quantize or QuantizeOptions()
        store_float_weights(graph, "bf16" if precision == "bfloat16" else options.float_weights)
    numbers = _numbers(graph, calibration, preprocess, precision, quantize, clock)
    with clock.step("measure"):
        found = _measured(graph, segments, numbers, precision, measure)
    with clock.step("lower"):
        built = _build(graph, segments, numbers, precision, found, l2_bytes, state)
        written = container.write(out, built.data)
    return _report(graph, built, numbers, str(written), clock, found)


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
    current = [_current(graph, segment) for segment in segments]
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="maccel-") as folder:
        path = Path(folder) / "tapped.mxq"
        try:
            for names in find_taps(graph, current):
                wider, tapped = tap(graph, current, names)
                container.write(path, _build(wider, tapped, numbers, precision).data)
                found.update(measure_file(path, wider, samples, numbers.scaled))
        except (MaccelError, ImportError) as error:
            return Measurement(found, f"noise was not measured: {error}")
    return Measurement(found)


def _checked(graph: Graph, segments: list[Segment]) -> list[Segment]:
    made = {name for segment in segments for name in segment.outputs}
    missing = [name for name in graph.outputs if name not in made]
    if missing and missing[0] in graph.inputs:
        raise CompileError(f"output {missing[0]!r} is an input of the model: leave it out")
    if missing:
        raise CompileError(f"output {missing[0]!r} does not depend on any input")
    for node in graph.nodes:
        _check_weights(node)
    for segment in segments:
        for name in (*segment.inputs, *segment.outputs):
            if graph.tensors[name].shape is None:
                raise CompileError(f"{name!r} has no static shape: it cannot leave {segment.name}")
    return segments


def _check_weights(node: Node) -> None:
    if node.weights is None or node.reason:
        return
    for what, values in (("a weight", node.weights.kernel), ("a bias", node.weights.bias)):
        if not np.isfinite(values).all():
            raise CompileError(f"node {node.name!r}: {what} is not finite")


def _numbers(
    graph: Graph,
    calibration: Source | None,
    preprocess: PreprocessLike | Mapping[str, PreprocessLike] | None,
    precision: Precision,
    options: QuantizeOptions | None,
    clock: _Clock,
) -> NumericResult:
    if precision != "int8":
        return NumericResult(None, {})
    given = graph.given_scales
    if calibration is None and given is None and any(not n.reason for n in graph.nodes):
        raise CompileError(
            "int8 needs calibration data (pictures, arrays or .npz), or precision='float32'"
        )
    numbers = quantise_graph(
        graph,
        calibration,
        on_npu=lambda node: not node.reason,
        preprocess=preprocess,
        given=given,
        options=options,
        progress=lambda done, total: clock.tell("calibrate", done, total),
    )
    clock.seconds.update(numbers.seconds)
    return numbers


@dataclass(frozen=True)
class _Built:
    """A finished file and what the report needs of it."""

    data: bytes
    rows: list[LayerReport]
    arena_bytes: int


def _build(
    graph: Graph,
    segments: list[Segment],
    numbers: NumericResult,
    precision: Precision,
    measured: Measurement | None = None,
    l2_bytes: int = 0,
    state: StateOptions | None = None,
) -> _Built:
    """Return the file; without a measurement, one for measuring, with tensors in ONNX order."""
    decibel = {} if measured is None else measured.tensors
    order = [node for segment in segments for node in _current(graph, segment).nodes]
    layers = {id(node): row for row, node in enumerate(order)}
    tables = {
        name: pixel_table(graph, name, how)
        for name, how in numbers.preprocess.items()
        if graph.tensors[name].storage.dtype == "u8"
    }
    lowered = [_lower(graph, segment, layers, tables, l2_bytes) for segment in segments]
    pairs = [(_current(graph, s), done) for s, done in zip(segments, lowered, strict=True)]
    rows = [
        replace(row, sqnr_device_db=decibel.get(node.output))
        for row, node in zip(manifest.layer_rows(graph, pairs), order, strict=True)
    ]
    sections: list[tuple[Section, bytes]] = []
    placed = [_place(graph, segment, done, len(rows), sections) for segment, done in pairs]
    samples = numbers.samples
    provenance = manifest.Provenance(
        f"maccel-aio {_version()}",
        {"precision": precision},
        {"samples": 0 if samples is None else len(samples)},
    )
    head = manifest.build(
        graph, placed, rows, numbers.preprocess, provenance, images=measured is not None,
        state=state,
    )  # fmt: skip
    data = container.pack([(Section.MANIFEST, head), *sections])
    arena = max((done.arena_bytes for done in lowered if done is not None), default=0)
    return _Built(data, rows, arena)


def _current(graph: Graph, segment: Segment) -> Segment:
    """Return the segment with the nodes that quantisation put between its own (copies)."""
    if not segment.on_npu:
        return segment
    known = {id(node) for node in segment.nodes}
    read = {name for node in segment.nodes for name in node.inputs}
    missing = read - set(segment.inputs)
    missing -= {out for node in segment.nodes for out in node.outputs}
    nodes = [n for n in graph.nodes if id(n) in known or n.output in missing]
    return Segment(segment.name, True, tuple(nodes), segment.inputs, segment.outputs)


def _lower(
    graph: Graph,
    segment: Segment,
    layers: Mapping[int, int],
    tables: Mapping[str, np.ndarray[Any, Any]],
    l2_bytes: int,
) -> Lowered | None:
    if not segment.on_npu:
        return None
    current = _current(graph, segment)
    return lower_bundle(
        graph, current.nodes, current.inputs, current.outputs, layers=layers, tables=tables,
        l2_bytes=l2_bytes,
    )  # fmt: skip


def _place(
    graph: Graph,
    segment: Segment,
    lowered: Lowered | None,
    num_layers: int,
    sections: list[tuple[Section, bytes]],
) -> manifest.Placed:
    first = len(sections) + 1  # the manifest is section 0
    if lowered is None:
        constants = {n: t.const for n, t in graph.tensors.items() if t.const is not None}
        part = extract(
            graph.model,
            [graph.tensors[name] for name in segment.inputs],
            [graph.tensors[name] for name in segment.outputs],
            constants,
        )
        sections.append((Section.ONNX, part.SerializeToString(deterministic=True)))
        return manifest.Placed(segment, None, (first,))
    work = sum(macs(graph, node) for node in segment.nodes)
    program, constants_data = encode(lowered, num_layers, work)
    sections += [(Section.PROGRAM, program), (Section.CONSTS, constants_data)]
    return manifest.Placed(segment, lowered, (first, first + 1))


def pixel_table(graph: Graph, name: str, how: Preprocess) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return u8 [C][256]: the device code of every pixel value of every channel."""
    quant = graph.tensors[name].storage
    pixels = np.arange(256, dtype=np.float64)[None, :]
    mean = np.asarray(how.mean, np.float64)[:, None]
    std = np.asarray(how.std, np.float64)[:, None]
    codes = np.rint((pixels - mean) / std / quant.scale) + quant.zero
    table: np.ndarray[Any, np.dtype[np.uint8]] = np.clip(codes, 0, 255).astype(np.uint8)
    return table


def _version() -> str:
    try:
        return importlib.metadata.version("maccel-aio")
    except importlib.metadata.PackageNotFoundError:
        return "0"


def _report(
    graph: Graph,
    built: _Built,
    numbers: NumericResult,
    path: str,
    clock: _Clock,
    measured: Measurement,
) -> CompileReport:
    outputs = {n: measured.tensors[n] for n in graph.outputs if n in measured.tensors}
    samples = numbers.samples
    return CompileReport(
        name=graph.name,
        path=path,
        layers=tuple(built.rows),
        output_sqnr_device_db=outputs,
        warnings=(measured.warning,) if measured.warning else (),
        file_bytes=len(built.data),
        arena_bytes=built.arena_bytes,
        samples=0 if samples is None else len(samples),
        seconds=dict(clock.seconds),
    )
