"""The number side of a compilation in one call: samples, statistics, formats, integers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from maccel_aio.compiler import calibration_cache
from maccel_aio.compiler.calibration import TappedModel, collect
from maccel_aio.compiler.equalise import equalise
from maccel_aio.compiler.inputs import CalibrationSet, image_geometry, load_calibration
from maccel_aio.compiler.ir import Graph, TensorQuant
from maccel_aio.compiler.links import find_links
from maccel_aio.compiler.preprocess import Preprocess
from maccel_aio.compiler.quantize import QuantizeOptions, quantise
from maccel_aio.compiler.ranges import pixel_u8
from maccel_aio.compiler.rounding import is_compensated
from maccel_aio.compiler.unscale import Bounded, bounds, find_bounded, unscale
from maccel_aio.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from maccel_aio.compiler.calibration import TensorStats
    from maccel_aio.compiler.inputs import Source
    from maccel_aio.compiler.precision import OnNpu
    from maccel_aio.compiler.qdq import GivenScales

Progress = Callable[[int, int], None]
PreprocessLike = Preprocess | Mapping[str, Any]

_DESCRIPTION = {"mean", "std", "channels", "crop"}


@dataclass(frozen=True)
class NumericResult:
    """What was used.

    Attributes:
        samples: the calibration samples; None where the model brought its own scales.
        preprocess: per input, how pixels become values.
        scaled: per tensor whose channels were scaled, f64 ``[c]``: the graph holds the value of
            the float model over this.
        seconds: time of the steps.
    """

    samples: CalibrationSet | None
    preprocess: dict[str, Preprocess]
    scaled: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def preprocess_by_input(
    graph: Graph, value: PreprocessLike | Mapping[str, PreprocessLike] | None
) -> dict[str, Preprocess]:
    """Return the preprocessing of every input that takes pixels.

    Args:
        graph: the model.
        value: one description, for all image inputs, or descriptions by input name, or None.

    Raises:
        InvalidError: a name is no input, or a description does not fit its input.
    """
    if not value:
        return {}
    if isinstance(value, Preprocess) or set(value) & _DESCRIPTION - set(graph.inputs):
        named: dict[str, Any] = dict.fromkeys(_image_inputs(graph), value)
        if not named:
            raise InvalidError(
                "preprocessing is given, but no input is an image of 1 or 3 channels"
            )
    else:
        named = dict(value)
    unknown = sorted(set(named) - set(graph.inputs))
    if unknown:
        raise InvalidError(f"preprocessing for {unknown}: the inputs are {graph.inputs}")
    found = {name: Preprocess.of(one) for name, one in named.items()}
    for name, how in found.items():
        channels = image_geometry(name, graph.tensor(name).dims)[2]
        if channels != len(how.mean):
            msg = f"input {name!r} has {channels} channels, its preprocessing is {how.channels}"
            raise InvalidError(msg)
    return found


def _image_inputs(graph: Graph) -> list[str]:
    def is_image(name: str) -> bool:
        try:
            image_geometry(name, graph.tensor(name).dims)
        except InvalidError:
            return False
        return True

    return [name for name in graph.inputs if is_image(name)]


@dataclass(frozen=True)
class Observed:
    """What calibration found; the graph is equalised, and has no formats yet.

    Attributes:
        result: what the report and the file need of it.
        stats: by tensor name; of the equalised graph.
        fixed: formats of the inputs that take pixels.
        bounded: scaled tensors that lost an upper bound, see `unscale`.
    """

    result: NumericResult
    stats: dict[str, TensorStats]
    fixed: dict[str, TensorQuant]
    bounded: dict[str, Bounded] = field(default_factory=dict)

    def part(self, samples: Sequence[int]) -> Observed:
        """Return what some of the samples showed."""
        stats = {name: found.part(samples) for name, found in self.stats.items()}
        return replace(self, stats=stats)


def observe_graph(
    graph: Graph,
    calibration: Source | None,
    *,
    on_npu: OnNpu,
    preprocess: PreprocessLike | Mapping[str, PreprocessLike] | None = None,
    given: GivenScales | None = None,
    options: QuantizeOptions | None = None,
    progress: Progress | None = None,
    cache: Path | None = None,
) -> Observed:
    """Calibrate a graph and equalise it.

    For the arguments see `quantise_graph`; `cache` is the folder in which calibration runs are
    kept, None for none.
    """
    began = time.perf_counter()
    how = preprocess_by_input(graph, preprocess)
    fixed = {name: TensorQuant("u8", *pixel_u8(one)) for name, one in how.items()}
    options = options or QuantizeOptions()
    links = []
    if options.equalise and given is None:
        links = find_links(graph, on_npu, options.precision)
    samples = None if calibration is None else open_samples(graph, calibration, how)
    rows = {name for link in links for name in link.eight}
    if options.rounding == "compensated":
        rows |= {node.inputs[0] for node in graph.nodes if is_compensated(node)}
    stats = {} if samples is None else _observe(graph, samples, rows, progress, cache)
    calibrated = time.perf_counter()
    before = bounds(graph)
    scaled = {} if samples is None else equalise(graph, links, stats, samples.originals)
    seconds = {"calibrate": calibrated - began, "equalise": time.perf_counter() - calibrated}
    bounded = find_bounded(before, scaled)
    return Observed(NumericResult(samples, how, scaled, seconds), stats, fixed, bounded)


def quantise_graph(
    graph: Graph,
    calibration: Source | None,
    *,
    on_npu: OnNpu,
    preprocess: PreprocessLike | Mapping[str, PreprocessLike] | None = None,
    given: GivenScales | None = None,
    options: QuantizeOptions | None = None,
    progress: Progress | None = None,
) -> NumericResult:
    """Calibrate a graph and fill in all its formats and integers.

    Args:
        graph: after the passes; changed in place.
        calibration: see `inputs.load_calibration`; None leaves tensors without given scales float.
        on_npu: whether a node runs on the device.
        preprocess: of the inputs that take pixels: fixes their formats.
        given: scales of a quantised model.
        options: how to quantise.
        progress: called with samples done and in all.

    Raises:
        CalibrationError: the calibration data does not fit.
        InvalidError: the preprocessing does not fit.
    """
    seen = observe_graph(
        graph,
        calibration,
        on_npu=on_npu,
        preprocess=preprocess,
        given=given,
        options=options,
        progress=progress,
    )
    seen = unscale(graph, seen, (options or QuantizeOptions()).precision.storage)
    quantise(graph, seen.stats, on_npu=on_npu, fixed=seen.fixed, given=given, options=options)
    return seen.result


def _observe(
    graph: Graph,
    samples: CalibrationSet,
    rows: set[str],
    progress: Progress | None,
    cache: Path | None,
) -> dict[str, TensorStats]:
    total, axes = len(samples), _axes(graph)
    key = ""
    if cache is not None:
        key = calibration_cache.run_key(graph.model, samples, graph.tensors, axes, rows)
        kept = calibration_cache.load(cache, key)
        if kept is not None:
            return kept

    def report(done: int) -> None:
        if progress is not None:
            progress(done, total)

    tapped = TappedModel(graph.model, list(graph.tensors))
    stats = collect(tapped, samples, axes=axes, rows=rows, progress=report)
    if cache is not None:
        calibration_cache.store(cache, key, stats)
    return stats


def open_samples(
    graph: Graph, calibration: Source, preprocess: Mapping[str, Preprocess]
) -> CalibrationSet:
    """Return the calibration samples of a graph's inputs.

    Raises:
        CalibrationError: the data does not fit.
    """
    tensors = {name: graph.tensor(name) for name in graph.inputs}
    return load_calibration(
        calibration,
        {name: tensor.dims for name, tensor in tensors.items()},
        preprocess=preprocess,
        dtypes={name: np.dtype(tensor.dtype) for name, tensor in tensors.items()},
    )


def _axes(graph: Graph) -> dict[str, int]:
    """Channel axes that are not the usual ones: a linear layer contracts the last dimension."""
    return {
        node.inputs[0]: len(graph.tensor(node.inputs[0]).dims) - 1 for node in graph.walk("Linear")
    }
