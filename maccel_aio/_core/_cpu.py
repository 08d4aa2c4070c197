"""CPU segments: the parts of a model that onnxruntime runs. Blocking; import on first use."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from maccel_aio._core import _observe
from maccel_aio.errors import InferenceError, ModelFormatError, UnsupportedError

if TYPE_CHECKING:
    from maccel_aio._core._manifest import Segment, Variant
    from maccel_aio._typing import Array


class CpuSegment:
    """One ONNX graph, run item by item. Any thread.

    Args:
        segment: its names.
        variant: shapes and dtypes of the values.
        graph: the serialised ONNX model.

    Raises:
        UnsupportedError: if onnxruntime is not installed.
        ModelFormatError: if onnxruntime does not accept the graph.
    """

    def __init__(self, segment: Segment, variant: Variant, graph: bytes) -> None:
        self.name = segment.name
        self._inputs = [(port.name, variant.values[port.name].dtype) for port in segment.inputs]
        self._outputs = [port.name for port in segment.outputs]
        self._session = _session(segment, graph)

    def run(self, values: dict[str, Array]) -> list[Array]:
        """Run the graph on values of shape (items, *ONNX shape); return the outputs likewise.

        Raises:
            InferenceError: if onnxruntime fails.
        """
        feeds = {
            name: np.ascontiguousarray(values[name], dtype=dtype) for name, dtype in self._inputs
        }
        traces = _observe.tracing()
        began = time.monotonic_ns() if traces else 0
        items = max((len(feed) for feed in feeds.values()), default=1)
        made: list[list[Any]] = []
        for item in range(items):
            feed = {name: array[min(item, len(array) - 1), ...] for name, array in feeds.items()}
            try:
                made.append(self._session.run(self._outputs, feed))
            except Exception as problem:  # onnxruntime has no common base for its errors
                raise InferenceError(f"CPU segment {self.name} failed: {problem}") from problem
        for trace in traces:
            trace.segment(self.name, began, time.monotonic_ns())
        return [self._join(parts) for parts in zip(*made, strict=True)]

    def _join(self, parts: tuple[Any, ...]) -> Array:
        if len(parts) == 1:
            return np.asarray(parts[0])[np.newaxis]
        if len({np.shape(part) for part in parts}) > 1:
            raise InferenceError(
                f"CPU segment {self.name}: the items of the batch have outputs of different "
                "shapes: pass them one by one"
            )
        return np.stack(parts)


def _session(segment: Segment, graph: bytes) -> Any:  # noqa: ANN401 - an untyped package
    try:
        import onnxruntime
    except ImportError as problem:
        raise UnsupportedError(
            f"part of the model runs on the CPU ({segment.reason or segment.name}), and that needs "
            'onnxruntime: pip install "maccel-aio[compiler]"'
        ) from problem
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Threads that spin between operators keep the software NPU and other requests off their CPUs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # onnxruntime has no common base for its errors
        raise ModelFormatError(f"CPU segment {segment.name} is not sound: {problem}") from problem
