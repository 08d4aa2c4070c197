"""Runs the float model over the calibration samples and keeps statistics of every tensor."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from maccel_aio.errors import CompileError, InvalidError

_log = logging.getLogger("maccel_aio.compiler")

_ROW_ELEMENTS = 8192

Feed = Mapping[str, NDArray[Any]]


@dataclass
class TensorStats:
    """Streaming statistics of one float tensor, per channel.

    Mutable while `collect` runs, by its thread alone; constant afterwards.

    Attributes:
        axis: the channel axis that rows were split by.
        minimum: per sample and channel, f32 ``[samples, c]``.
        maximum: likewise.
        mean: likewise; of all elements of the channel.
        rows: per sample, a few positions ``[k, c]`` at even distances; empty unless asked for.
    """

    axis: int
    minimum: list[NDArray[np.float32]] = field(default_factory=list)
    maximum: list[NDArray[np.float32]] = field(default_factory=list)
    mean: list[NDArray[np.float32]] = field(default_factory=list)
    rows: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, value: NDArray[Any]) -> None:
        """Count one sample of this tensor."""
        others = tuple(d for d in range(value.ndim) if d != self.axis % max(value.ndim, 1))
        self.minimum.append(np.atleast_1d(value.min(axis=others)).astype(np.float32))
        self.maximum.append(np.atleast_1d(value.max(axis=others)).astype(np.float32))
        with np.errstate(invalid="ignore"):
            mean = value.mean(axis=others, dtype=np.float64)
        self.mean.append(np.atleast_1d(mean).astype(np.float32))

    def keep_rows(self, value: NDArray[Any]) -> None:
        """Keep some positions of one sample, about `_ROW_ELEMENTS` numbers."""
        table = np.moveaxis(value, self.axis, -1).reshape(-1, value.shape[self.axis])
        count = min(len(table), max(16, _ROW_ELEMENTS // table.shape[1]))
        chosen = np.linspace(0, len(table) - 1, count).astype(np.intp)
        self.rows.append(table[chosen].astype(np.float32))

    def part(self, samples: Sequence[int]) -> TensorStats:
        """Return the statistics of some of the samples only."""
        minimum, maximum, mean, rows = (
            [values[k] for k in samples] if values else []
            for values in (self.minimum, self.maximum, self.mean, self.rows)
        )
        return TensorStats(self.axis, minimum, maximum, mean, rows)

    @property
    def low(self) -> float:
        """Smallest value over all samples and channels."""
        return float(min(x.min() for x in self.minimum))

    @property
    def high(self) -> float:
        """Largest value over all samples and channels."""
        return float(max(x.max() for x in self.maximum))

    def channel_mean(self) -> NDArray[np.float64]:
        """Mean of every channel over all samples, f64 ``[c]``."""
        mean: NDArray[np.float64] = np.mean(np.stack(self.mean), axis=0, dtype=np.float64)
        return mean

    def channel_range(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Smallest and largest value of every channel, f32 ``[c]`` each."""
        return np.min(np.stack(self.minimum), axis=0), np.max(np.stack(self.maximum), axis=0)


def open_session(
    model: onnx.ModelProto, *, threads: int = 0, optimise: bool = True
) -> ort.InferenceSession:
    """Return an onnxruntime session on the CPU; `threads` 0 lets it choose."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_ENABLE_BASIC
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


class TappedModel:
    """A float model whose intermediate tensors can be read.

    Immutable after construction; `run` may be called from several threads.
    """

    def __init__(self, model: onnx.ModelProto, tensors: Sequence[str]) -> None:
        """Add outputs for `tensors`; graph inputs and unknown names are allowed.

        Args:
            model: a float ONNX model.
            tensors: names to read, beside the model's own outputs.
        """
        tapped = onnx.ModelProto()
        tapped.CopyFrom(model)
        made = {name for node in tapped.graph.node for name in node.output if name}
        self.outputs = [value.name for value in tapped.graph.output]
        initializers = {value.name for value in tapped.graph.initializer}
        self.inputs = [v.name for v in tapped.graph.input if v.name not in initializers]
        extra = [t for t in dict.fromkeys(tensors) if t in made and t not in self.outputs]
        for name in extra:
            tapped.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
        self.taps = self.outputs + extra
        try:
            self._session = open_session(tapped, optimise=False)
        except Exception as error:  # onnxruntime's errors have no common base but this
            raise CompileError(f"onnxruntime cannot load the model: {error}") from error

    def run(self, feed: Feed) -> dict[str, NDArray[Any]]:
        """Return every tapped tensor, and the inputs, of one sample."""
        try:
            values = self._session.run(self.taps, {name: feed[name] for name in self.inputs})
        except Exception as error:  # onnxruntime's errors have no common base but this
            raise CompileError(f"onnxruntime cannot run the model: {error}") from error
        result = dict(zip(self.taps, values, strict=True))
        result.update({name: np.asarray(feed[name]) for name in self.inputs})
        return result


def default_axis(rank: int) -> int:
    """Channel axis of an ONNX tensor: 1 for images and volumes, else the last."""
    return 1 if rank >= 4 else max(rank - 1, 0)


def collect(
    tapped: TappedModel,
    samples: Iterable[Feed],
    *,
    axes: Mapping[str, int] | None = None,
    rows: Collection[str] = (),
    progress: Callable[[int], None] | None = None,
) -> dict[str, TensorStats]:
    """Return statistics of every float tensor of `tapped` that is finite (a mask may not be).

    One sample's tensors are in memory at a time.

    Args:
        tapped: the model.
        samples: feeds in the model's ONNX shapes.
        axes: channel axis where it is not `default_axis`.
        rows: tensors of which `TensorStats.rows` are kept.
        progress: called with the number of samples done, after each.

    Raises:
        InvalidError: there are no samples.
    """
    stats: dict[str, TensorStats] = {}
    axes = axes or {}
    done = 0
    for sample in samples:
        for name, value in tapped.run(sample).items():
            if value.dtype.kind != "f" or value.size == 0:
                continue
            if name not in stats:
                stats[name] = TensorStats(axes.get(name, default_axis(value.ndim)))
            stats[name].add(value)
            if name in rows:
                stats[name].keep_rows(value)
        done += 1
        if progress is not None:
            progress(done)
    if done == 0:
        raise InvalidError("calibration needs at least one sample")
    return {name: found for name, found in stats.items() if _is_finite(name, found)}


def _is_finite(name: str, found: TensorStats) -> bool:
    finite = bool(np.isfinite(found.low) and np.isfinite(found.high))
    if not finite:
        _log.warning("tensor %r is not finite on the calibration data: it stays float", name)
    return finite
