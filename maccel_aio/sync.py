"""The blocking twin: the same nouns, the same rules, no event loop.

Each thread has a submission and completion queue of its own and waits in C with the GIL released.
Everything here may be called from any thread, also while event loops use the same device.
"""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from maccel_aio._core import _blocking
from maccel_aio._core._accelerator import BaseAccelerator
from maccel_aio._core._backends import is_running
from maccel_aio._core._blocking import Job
from maccel_aio._core._blocking_leases import BufferPool as BufferPool
from maccel_aio._core._blocking_model import BlockingModel
from maccel_aio._core._blocking_stream import BackgroundJob
from maccel_aio._core._blocking_stream import stream as _stream
from maccel_aio._core._buffer import Buffer as Buffer
from maccel_aio._core._config import ModelConfig as ModelConfig
from maccel_aio._core._lease import Lease as Lease
from maccel_aio._core._state import CacheInfo as CacheInfo
from maccel_aio._core._steps import BatchParam as BatchParam
from maccel_aio._core._turns import ThreadTurn
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

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    from maccel_aio._core._base_model import BaseModel
    from maccel_aio._core._device import DeviceName
    from maccel_aio._core._resident import Resident
    from maccel_aio._typing import Array

T = TypeVar("T")

__all__ = [
    "Accelerator", "BackgroundJob", "BatchParam", "Buffer", "BufferInUseError", "BufferPool",
    "CacheInfo", "CacheOverflowError", "CancelOutcome",
    "CancelledRequestError", "CloseReport", "ClosedError", "Cluster", "CompileError", "Core",
    "CoreId", "CoreMode", "DeadlineError", "DeviceLostError", "DeviceNotFoundError",
    "DeviceStats", "ForkedError", "InferenceError", "InvalidError", "Job", "JobState",
    "LatencySetPolicy", "LayerTime", "Lease", "MaccelError", "MaintenancePolicy", "Model",
    "ModelConfig", "ModelFormatError", "ModelStats", "NoCacheError", "OutOfMemoryError",
    "QueueFullError",
    "SchedulePolicy", "ShapeError", "StreamItem", "TensorSpec", "Timing", "UnsupportedError",
    "WaitTimeoutError", "WrongLoopError", "load",
]  # fmt: skip

_FOREVER = 3600.0 * 24


class Model(BlockingModel):
    """A model whose calls block the calling thread, and only that one. Any thread.

    Args:
        path: of the ``.mxq`` file.
        config: which cores; copied.
        max_inflight: most requests that one thread may have in flight.
        cancel_grace: how long a call with ``out=`` that timed out waits for the device, seconds.
    """

    _warned = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        config: ModelConfig | None = None,
        *,
        max_inflight: int | None = None,
        cancel_grace: float = 1.0,
    ) -> None:
        super().__init__(path, config, max_inflight=max_inflight, cancel_grace=cancel_grace)
        self._accelerator: Accelerator | None = None
        self._owns_accelerator = False
        self._joined: Resident | None = None
        self._report: CloseReport | None = None

    @classmethod
    def share(cls, model: BaseModel) -> Self:
        """Return the blocking twin of a launched model: the same weights, no second load.

        Each of the two must be closed; the last one unloads the model.

        Raises:
            ClosedError: if the model is closed, or not launched.
        """
        resident = model._here().share()  # noqa: SLF001 - the faces are one mechanism
        twin = cls(model.path, model.config)
        twin._resident = twin._joined = resident
        return twin

    # ---- life

    def launch(self, acc: Accelerator) -> None:
        """Load the model onto an accelerator, which closes it. Blocks.

        Raises:
            ModelFormatError: if the file is not a sound model.
            FileNotFoundError: if there is none.
            ClosedError: if the model was launched before, or it or the accelerator is closed.
        """
        self._settle_in(acc.load_resident(self._path, self._config))
        self._accelerator = acc
        acc.adopt(self)

    def close(self, drain: float | None = 5.0) -> CloseReport:
        """Stop admission, cancel what is queued, wait for what runs, and unload. Idempotent.

        Args:
            drain: longest wait for what runs, seconds; None for no bound.
        """
        with self._lock:
            first, self._shut = not self._shut, True
        if not first:
            while self._report is None:
                time.sleep(0.002)
            return self._report
        self._report = self._close(_FOREVER if drain is None else drain)
        return self._report

    def _close(self, drain: float) -> CloseReport:
        before = self._in_flight()
        for port in list(self._ports):
            port.closed = True
            port.cancel_queued()
        limit = time.monotonic() + drain
        while self._in_flight() and time.monotonic() < limit:
            time.sleep(0.0005)  # what runs may be a segment of the CPU
            for port in list(self._ports):
                if isinstance(port, _blocking.ThreadPort) and port.in_flight:
                    port.thread_ring.wait_some(0.01)
        left = self._in_flight()
        if self._resident is not None:
            self._resident.unload()
        if self._joined is not None:
            self._joined.device.release(max(limit - time.monotonic(), 0.0))
        accelerator, self._accelerator = self._accelerator, None
        if accelerator is not None:
            accelerator.disown(self)
            if self._owns_accelerator:
                accelerator.close(max(limit - time.monotonic(), 0.0))
        return CloseReport(drained=before - left, abandoned=left, timed_out=left > 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # ---- requests

    def infer(
        self,
        x: object,
        *,
        out: Sequence[Array | Buffer] | None = None,
        cache_size: int = 0,
        params: object = None,
        timeout: float | None = None,
        deadline: float | None = None,
        priority: int = 0,
    ) -> list[Array]:
        """Run the model once. Arguments, outputs and errors are those of the asynchronous twin.

        Args:
            x: one array, or a list with one array an input. Where an image fits both layouts, HWC
                wins. Or a lease of ``buffers``.
            out: arrays to write the outputs to; default: new ones.
            cache_size: tokens in slot 0 of the cache; only 0 for models without one.
            params: one ``BatchParam`` a sequence; only None for models without a cache.
            timeout: longest wait, seconds; the request is cancelled when it runs out.
            deadline: seconds from now; a request that no core took until then never runs.
            priority: higher first.

        Raises:
            WaitTimeoutError: if ``timeout`` ran out.
            MaccelError: as the asynchronous twin does.
        """
        self._warn_in_loop()
        given = (out, cache_size, params, deadline, priority)
        if (
            type(x) is np.ndarray and timeout is None and out is None and deadline is None
            and type(priority) is int and not (priority or cache_size or params)
        ):  # fmt: skip
            form = self.forms.find(x)
            if form is not None:
                return self.run_usual(form, x)
        limit = None if timeout is None else time.monotonic() + timeout
        if type(x) is Lease:
            return self.infer_lease(x, given, limit)
        prepared = self.prepare(self.converted(x), *given)
        if prepared.plan is not None:
            self.forms.learn(x, prepared)
            return self._run(prepared.call(), limit)
        steps = prepared.steps
        turn = None if steps is None else ThreadTurn(steps.state.turns, steps.slots)
        return self._run_parts(prepared, limit, turn)

    def submit(
        self,
        x: object,
        *,
        out: Sequence[Array | Buffer] | None = None,
        cache_size: int = 0,
        params: object = None,
        deadline: float | None = None,
        priority: int = 0,
        timeout: float | None = None,
    ) -> Job | BackgroundJob:
        """Submit and return the job at once; blocks only while no credit is free.

        Args:
            x: as for ``infer``.
            out: as for ``infer``.
            cache_size: as for ``infer``.
            params: as for ``infer``.
            deadline: as for ``infer``.
            priority: as for ``infer``.
            timeout: longest wait for a credit, seconds.

        Raises:
            QueueFullError: if no credit came in time.
            MaccelError: as ``infer`` does.
        """
        limit = None if timeout is None else time.monotonic() + timeout
        if type(x) is Lease:
            return self.submit_lease(x, (out, cache_size, params, deadline, priority), limit)
        prepared = self.prepare(self.converted(x), out, cache_size, params, deadline, priority)
        if prepared.plan is not None:
            return self._port_here().begin(prepared.call(), limit)
        return self._in_background(prepared)

    def stream(
        self,
        source: Iterable[T],
        *,
        prepare: Callable[[T], Any] | None = None,
        finish: Callable[[list[Array]], Any] | None = None,
        depth: int | None = None,
        on_error: str = "raise",
    ) -> Iterator[StreamItem[T]]:
        """Run the model over a source, pipelined, in its order.

        Args:
            source: advanced in the calling thread, at most ``depth`` items ahead.
            prepare: makes the model's input of an item; runs in worker threads.
            finish: makes ``item.outputs`` of the outputs; runs in worker threads.
            depth: most items in flight; default: what keeps the device busy.
            on_error: "raise" the error of an item, or "yield" it as ``item.error``.

        Raises:
            InvalidError: if an option is not known.
        """
        if on_error not in ("raise", "yield") or (depth is not None and depth < 1):
            raise InvalidError(f"on_error {on_error!r} or depth {depth!r} is not allowed")
        deep = depth or max(4, 2 * self._here().device.info.workers)
        return _stream(self.submit, source, prepare, finish, deep, on_error == "raise")

    def speedrun(self, n: int = 10) -> float:
        """Return the seconds that one inference computes, without transfers: the mean of ``n``.

        Raises:
            InvalidError: if n is below 1.
        """
        if n < 1:
            raise InvalidError(f"n must be at least 1, got {n}")
        total_ns = 0
        for stage in self._here().loaded[0].stages:
            if stage.bundle is None:
                continue
            for _ in range(n):
                job = self._port_here().begin(self._single(stage.bundle, 0), None)
                job.result()
                total_ns += job.timing.t_done - job.timing.t_start
        return total_ns / n / 1e9

    # ---- warning

    def _warn_in_loop(self) -> None:
        if not Model._warned and is_running():
            Model._warned = True
            warnings.warn(
                "a blocking call inside a running event loop stops that loop: use "
                "maccel_aio.Model there",
                RuntimeWarning,
                stacklevel=3,
            )


class Accelerator(BaseAccelerator):
    """An accelerator, blocking. Opened at its first use, shared by name in the process.

    Args:
        device: as for the asynchronous twin.
        number: of the device, when ``device`` is a bare name.
    """

    def __init__(self, device: DeviceName = "auto", number: int | None = None) -> None:
        super().__init__(device, number)
        self._models: dict[int, Model] = {}

    def open(self) -> None:
        """Open the device now rather than at its first use.

        Raises:
            DeviceNotFoundError: if there is none of this name.
            ClosedError: if the accelerator is closed.
        """
        self.open_blocking()

    def load(
        self,
        path: str | os.PathLike[str],
        config: ModelConfig | None = None,
        *,
        max_inflight: int | None = None,
        cancel_grace: float = 1.0,
    ) -> Model:
        """Load a model; use it in ``with`` to close it at the end.

        Raises:
            ModelFormatError: if the file is not a sound model.
            FileNotFoundError: if there is none.
        """
        model = Model(path, config, max_inflight=max_inflight, cancel_grace=cancel_grace)
        model.launch(self)
        return model

    def adopt(self, model: Model) -> None:
        """Remember a model, to close it with the accelerator."""
        self._models[id(model)] = model

    def disown(self, model: Model) -> None:
        """Forget a model that is closed."""
        self._models.pop(id(model), None)

    def close(self, drain: float | None = 5.0) -> CloseReport:
        """Close the models, then the device unless another accelerator uses it. Idempotent.

        Args:
            drain: longest wait for what runs, seconds; None for no bound.
        """
        with self._lock:
            if self._shut:
                return CloseReport(0, 0, timed_out=False)
            self._shut = True
        limit = time.monotonic() + (_FOREVER if drain is None else drain)
        reports = [
            model.close(max(limit - time.monotonic(), 0.0)) for model in list(self._models.values())
        ]
        stopped = self.release_blocking(max(limit - time.monotonic(), 0.0))
        abandoned = sum(report.abandoned for report in reports)
        drained = sum(report.drained for report in reports)
        return CloseReport(drained, abandoned, timed_out=abandoned > 0 or not stopped)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def load(
    path: str | os.PathLike[str],
    config: ModelConfig | None = None,
    accelerator: Accelerator | None = None,
) -> Model:
    """Load a model in one step. Use it in ``with`` to close it at the end.

    Args:
        path: of the ``.mxq`` file.
        config: which cores.
        accelerator: where to; default: the best there is, closed with the model.

    Raises:
        ModelFormatError: if the file is not a sound model.
        FileNotFoundError: if there is none.
    """
    if accelerator is not None:
        return accelerator.load(path, config)
    made = Accelerator()
    try:
        model = made.load(path, config)
    except BaseException:  # the device must not stay open
        made.close()
        raise
    model._owns_accelerator = True  # noqa: SLF001 - one mechanism
    return model
