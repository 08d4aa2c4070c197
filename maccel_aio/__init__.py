"""Asyncio-first inference on NPUs, with a software NPU for machines that have none."""

from __future__ import annotations

import importlib.metadata as _metadata
import logging as _logging
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from maccel_aio._core._accelerator import Accelerator as Accelerator
from maccel_aio._core._accelerator import load as load
from maccel_aio._core._async_job import Job as Job
from maccel_aio._core._batched import BatchedModel as BatchedModel
from maccel_aio._core._binding import DeviceInfo as DeviceInfo
from maccel_aio._core._binding import isa as isa
from maccel_aio._core._buffer import Buffer as Buffer
from maccel_aio._core._buffer_pool import BufferPool as BufferPool
from maccel_aio._core._config import ModelConfig as ModelConfig
from maccel_aio._core._devices import Pool as Pool
from maccel_aio._core._devices import open_pool as open_pool
from maccel_aio._core._events import DeviceEvent as DeviceEvent
from maccel_aio._core._events import DeviceEvents as DeviceEvents
from maccel_aio._core._file import read_manifest as read_manifest
from maccel_aio._core._histogram import Histogram as Histogram
from maccel_aio._core._lease import Lease as Lease
from maccel_aio._core._manifest import Layer as Layer
from maccel_aio._core._manifest import Manifest as Manifest
from maccel_aio._core._manifest import Segment as Segment
from maccel_aio._core._manifest import Variant as Variant
from maccel_aio._core._model import Model as Model
from maccel_aio._core._observe import Hooks as Hooks
from maccel_aio._core._observe import JobView as JobView
from maccel_aio._core._peaks import Peaks as Peaks
from maccel_aio._core._peaks import measure_peaks as measure_peaks
from maccel_aio._core._pooled import PooledModel as PooledModel
from maccel_aio._core._replica import PoolStats as PoolStats
from maccel_aio._core._replica import ReplicaStats as ReplicaStats
from maccel_aio._core._state import CacheInfo as CacheInfo
from maccel_aio._core._steps import BatchParam as BatchParam
from maccel_aio._core._stream import Stream as Stream
from maccel_aio._core._trace import Trace as Trace
from maccel_aio._core._trace import trace as trace
from maccel_aio._core._types import BatchedStats as BatchedStats
from maccel_aio._core._types import CancelOutcome as CancelOutcome
from maccel_aio._core._types import CloseReport as CloseReport
from maccel_aio._core._types import Cluster as Cluster
from maccel_aio._core._types import Core as Core
from maccel_aio._core._types import CoreId as CoreId
from maccel_aio._core._types import CoreMode as CoreMode
from maccel_aio._core._types import DeviceStats as DeviceStats
from maccel_aio._core._types import JobState as JobState
from maccel_aio._core._types import LatencySetPolicy as LatencySetPolicy
from maccel_aio._core._types import LayerTime as LayerTime
from maccel_aio._core._types import MaintenancePolicy as MaintenancePolicy
from maccel_aio._core._types import ModelStats as ModelStats
from maccel_aio._core._types import SchedulePolicy as SchedulePolicy
from maccel_aio._core._types import StreamItem as StreamItem
from maccel_aio._core._types import StreamStats as StreamStats
from maccel_aio._core._types import TensorSpec as TensorSpec
from maccel_aio._core._types import Timing as Timing
from maccel_aio.errors import BufferInUseError as BufferInUseError
from maccel_aio.errors import CacheOverflowError as CacheOverflowError
from maccel_aio.errors import CancelledRequestError as CancelledRequestError
from maccel_aio.errors import ClosedError as ClosedError
from maccel_aio.errors import CompileError as CompileError
from maccel_aio.errors import DeadlineError as DeadlineError
from maccel_aio.errors import DeviceLostError as DeviceLostError
from maccel_aio.errors import DeviceNotFoundError as DeviceNotFoundError
from maccel_aio.errors import ForkedError as ForkedError
from maccel_aio.errors import InferenceError as InferenceError
from maccel_aio.errors import InvalidError as InvalidError
from maccel_aio.errors import MaccelError as MaccelError
from maccel_aio.errors import ModelFormatError as ModelFormatError
from maccel_aio.errors import NoCacheError as NoCacheError
from maccel_aio.errors import OutOfMemoryError as OutOfMemoryError
from maccel_aio.errors import QueueFullError as QueueFullError
from maccel_aio.errors import ShapeError as ShapeError
from maccel_aio.errors import UnsupportedError as UnsupportedError
from maccel_aio.errors import WaitTimeoutError as WaitTimeoutError
from maccel_aio.errors import WrongLoopError as WrongLoopError

if _TYPE_CHECKING:
    import os as _os

__all__ = [
    "Accelerator",
    "BatchParam",
    "BatchedModel",
    "BatchedStats",
    "Buffer",
    "BufferInUseError",
    "BufferPool",
    "CacheInfo",
    "CacheOverflowError",
    "CancelOutcome",
    "CancelledRequestError",
    "CloseReport",
    "ClosedError",
    "Cluster",
    "CompileError",
    "Core",
    "CoreId",
    "CoreMode",
    "DeadlineError",
    "DeviceEvent",
    "DeviceEvents",
    "DeviceInfo",
    "DeviceLostError",
    "DeviceNotFoundError",
    "DeviceStats",
    "ForkedError",
    "Histogram",
    "Hooks",
    "InferenceError",
    "InvalidError",
    "Job",
    "JobState",
    "JobView",
    "LatencySetPolicy",
    "Layer",
    "LayerTime",
    "Lease",
    "MaccelError",
    "MaintenancePolicy",
    "Manifest",
    "Model",
    "ModelConfig",
    "ModelFormatError",
    "ModelStats",
    "NoCacheError",
    "OutOfMemoryError",
    "Peaks",
    "Pool",
    "PoolStats",
    "PooledModel",
    "QueueFullError",
    "ReplicaStats",
    "SchedulePolicy",
    "Segment",
    "ShapeError",
    "Stream",
    "StreamItem",
    "StreamStats",
    "TensorSpec",
    "Timing",
    "Trace",
    "UnsupportedError",
    "Variant",
    "WaitTimeoutError",
    "WrongLoopError",
    "compile",
    "isa",
    "load",
    "measure_peaks",
    "open_pool",
    "read_manifest",
    "trace",
]

try:
    __version__ = _metadata.version("maccel-aio")
except _metadata.PackageNotFoundError:  # a checkout that was built in place
    __version__ = "0+unknown"

_logging.getLogger("maccel_aio").addHandler(_logging.NullHandler())


def compile(  # noqa: A001 - the name of the act
    model: _Any,  # noqa: ANN401 - a path or an ONNX model; onnx is optional
    out: str | _os.PathLike[str],
    *,
    calibration: _Any = None,  # noqa: ANN401 - arrays, a directory or an archive
    **options: _Any,  # noqa: ANN401 - see maccel_aio.compiler.compile
) -> _Any:  # noqa: ANN401 - the compiler's report
    """Compile an ONNX model to a ``.mxq`` file. Blocks; needs the extra ``compiler``.

    Args:
        model: path of an ONNX file, or an ``onnx.ModelProto``.
        out: where to write the model.
        calibration: ``{input name: float array with a leading sample axis}``, a directory of
            pictures, or an ``.npz`` file.
        **options: see ``maccel_aio.compiler.compile``.

    Returns:
        The compiler's report.

    Raises:
        UnsupportedError: if the extra is not installed.
        CompileError: if the model cannot be compiled.
    """
    try:
        from maccel_aio import compiler
    except ModuleNotFoundError as problem:
        if problem.name is not None and problem.name.startswith("maccel_aio"):
            raise
        raise UnsupportedError(
            f'compiling needs {problem.name}: pip install "maccel-aio[compiler]"'
        ) from problem
    return compiler.compile(model, out, calibration=calibration, **options)
