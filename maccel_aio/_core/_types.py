"""The small value types that cross the public surface."""

from __future__ import annotations

import dataclasses
import enum
import functools
from typing import Any, Generic, NamedTuple, TypeVar

from maccel_aio._core._histogram import Histogram
from maccel_aio._typing import override

T = TypeVar("T")


class Cluster(enum.Enum):
    """A group of cores; values are the vendor's."""

    Cluster0 = 1 << 16
    Cluster1 = 2 << 16
    Error = 0x7FFF0000


class Core(enum.Enum):
    """A core of a cluster; values are the vendor's."""

    Core0 = 1
    Core1 = 2
    Core2 = 3
    Core3 = 4
    All = 0xFFFC
    GlobalCore = 0xFFFE
    Error = 0xFFFF


class CoreMode(enum.Enum):
    """How cores share the work; values are the vendor's and the native ones."""

    Single = 0
    Multi = 1
    Global4 = 3
    Global8 = 4
    Auto = 14


class SchedulePolicy(enum.Enum):
    """Which of a model's queued requests a core takes next; values are the vendor's."""

    #: In order of submission, whatever their priorities.
    FIFO = 0
    #: The latest first, whatever their priorities.
    LIFO = 1
    #: The highest priority first, equal ones in order of submission.
    ByPriority = 2


class LatencySetPolicy(enum.Enum):
    """Who says how long requests take; values are the vendor's."""

    #: The device: the shortest time that it has seen of the model.
    Auto = 0
    #: The user: ``early_latencies`` and ``finish_latencies``.
    Manual = 1


class MaintenancePolicy(enum.Enum):
    """What becomes of a request that is too late; values are the vendor's."""

    #: It runs all the same.
    Maintain = 0
    #: It does not run: DeadlineError.
    DropExpired = 1


#: Places of the clusters and cores in the vendor's order, by which ids are sorted.
_CLUSTER_RANK = {cluster: rank for rank, cluster in enumerate(Cluster)}
_CORE_RANK = {core: rank for rank, core in enumerate(Core)}


@functools.total_ordering
@dataclasses.dataclass(frozen=True)
class CoreId:
    """One core of one cluster. Immutable, hashable, ordered by cluster, then core."""

    cluster: Cluster
    core: Core

    def __lt__(self, other: object) -> bool:
        return self.rank < other.rank if isinstance(other, CoreId) else NotImplemented

    @override
    def __repr__(self) -> str:
        return f"CoreId({self})"

    @override
    def __str__(self) -> str:
        return f"{self.cluster.name}.{self.core.name}"

    @property
    def rank(self) -> tuple[int, int]:
        """The place of this core in the vendor's order."""
        return _CLUSTER_RANK[self.cluster], _CORE_RANK[self.core]


class TensorSpec(NamedTuple):
    """One input or output of a model, as its manifest describes it."""

    name: str
    #: Element type in ONNX as numpy calls it, e.g. "float32"; "object" for strings.
    dtype: str
    #: ONNX shape; -k is a dimension of variable length, any multiple of k.
    shape: tuple[int, ...]
    #: "NCHW", "NHWC" or "ND".
    layout: str
    #: 0 when the leading dimension is a batch of one, else None.
    batch_axis: int | None
    #: real = (quantised - zero_point) * scale.
    scale: float
    zero_point: int
    #: Element type on the device, e.g. "uint8".
    device_dtype: str
    #: Fused preprocessing of raw uint8 pixels, or None.
    preprocess: dict[str, Any] | None = None

    @property
    def is_image(self) -> bool:
        """Whether HWC and CHW arrays are told apart for this tensor."""
        return self.layout != "ND"


class JobState(enum.Enum):
    """Where a job is. QUEUED -> DONE | FAILED | CANCELLED; QUEUED -> ABANDONED -> CANCELLED."""

    #: Accepted; it waits for a core or runs.
    QUEUED = "queued"
    #: Cancelled while it ran: the device still owns its memory, the result is not wanted.
    ABANDONED = "abandoned"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class CancelOutcome(enum.Enum):
    """What a cancellation met."""

    #: It was queued and will not run.
    REMOVED = "removed"
    #: It runs; the result is discarded, the memory stays owned until it completes.
    ABANDONED = "abandoned"
    #: It had completed.
    DONE = "done"


class Timing(NamedTuple):
    """When a request passed its stations: CLOCK_MONOTONIC nanoseconds, 0 for never."""

    t_submit: int
    t_start: int
    t_done: int
    t_reaped: int


class CloseReport(NamedTuple):
    """What closing met."""

    #: Requests that completed, were cancelled or failed within the bound.
    drained: int
    #: Requests that still ran when the bound was reached; their memory stays owned.
    abandoned: int
    timed_out: bool


class ModelStats(NamedTuple):
    """A snapshot of the counters of one model in this process."""

    submitted: int
    completed: int
    failed: int
    cancelled: int
    expired: int
    #: Cancelled while running and not completed yet.
    abandoned: int
    in_flight: int
    waiting: int
    #: Requests that one event loop, or one thread, may have in flight.
    max_inflight: int
    #: Device done to reaped by the loop, over all requests so far: nanoseconds.
    lag_mean_ns: float
    lag_max_ns: int
    lag: Histogram = Histogram()


class DeviceStats(NamedTuple):
    """A snapshot of the native counters of one device."""

    submitted: int
    completed: int
    canceled: int
    expired: int
    failed: int
    abandoned: int
    queued: int
    running: int
    #: Summed over cores, compute and transfers.
    busy_ns: int
    open_ns: int
    overflow: int
    stale: int
    buffer_bytes: int
    #: 1 when the device is gone: it takes no more requests.
    lost: int = 0


class LayerTime(NamedTuple):
    """Time of one layer since profiling was switched on, summed over calls."""

    layer: int
    name: str
    op: str
    calls: int
    total_ns: int
    #: Multiply-accumulates of one call.
    macs: int
    #: Bytes of one call: inputs, and weights and tables as the kernels keep them. What a cache
    #: saves is not taken off.
    bytes_read: int
    #: Bytes of one call: outputs.
    bytes_written: int


class StreamStats(NamedTuple):
    """A snapshot of a stream. produced = delivered + dropped + failed + in_flight."""

    #: Items taken from the source.
    produced: int
    #: Items handed to the consumer with outputs.
    delivered: int
    #: Items that the overflow policy discarded.
    dropped: int
    #: Items handed to the consumer as an error.
    failed: int
    #: Items somewhere between source and consumer.
    in_flight: int


class BatchedStats(NamedTuple):
    """A snapshot of a batched model. Callers count once, however many items they bring."""

    #: Callers that were accepted.
    submitted: int
    completed: int
    failed: int
    cancelled: int
    #: Callers whose deadline passed before a core took their batch.
    expired: int
    #: Callers that met a full queue.
    refused: int
    #: Callers that ran once more, alone, because their batch failed.
    retried: int
    #: Callers that wait for a batch now, and batches that are on their way.
    waiting: int
    in_flight: int
    batches: int
    #: How many batches had 1, 2, 3 ... items.
    sizes: tuple[int, ...]
    #: From joining to leaving, over the callers that left.
    wait_mean_ns: float
    wait_max_ns: int

    @property
    def mean_size(self) -> float:
        """Items in a batch, on average; 0 before the first."""
        items = sum(size * count for size, count in enumerate(self.sizes, 1))
        return items / self.batches if self.batches else 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class StreamItem(Generic[T]):
    """One element of a stream."""

    #: Position in the source, counted from 0.
    index: int
    #: What the source gave.
    value: T
    #: What ``finish`` returned, or the list of output arrays; None when ``error`` is set.
    outputs: Any
    error: Exception | None
    timing: Timing | None
