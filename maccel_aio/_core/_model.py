"""The asynchronous model."""

from __future__ import annotations

import functools
import math
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

import anyio
import anyio.to_thread
import numpy as np

from maccel_aio._core import _binding
from maccel_aio._core._batched import BatchedModel
from maccel_aio._core._chain import can_follow, expand, jobs_in, reads_in_place, refuse
from maccel_aio._core._lease import Lease
from maccel_aio._core._lease_model import LeaseModel
from maccel_aio._core._stream import Stream
from maccel_aio._core._threads import run_blocking, run_shielded, shielded
from maccel_aio._core._types import CloseReport
from maccel_aio.errors import ClosedError, InvalidError, QueueFullError, UnsupportedError

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterable, Callable, Iterable, Sequence
    from types import TracebackType

    from maccel_aio._core._accelerator import Accelerator
    from maccel_aio._core._async_job import Job
    from maccel_aio._core._base_model import Prepared
    from maccel_aio._core._buffer import Buffer
    from maccel_aio._core._config import ModelConfig
    from maccel_aio._core._observe import Hooks
    from maccel_aio._core._stream import OnError, Order, Overflow
    from maccel_aio._typing import Array

T = TypeVar("T")

#: Longest inference that an event loop may carry out itself, seconds.
INLINE_LIMIT_S = 50e-6
_INLINE_TRIES = 8


class Model(LeaseModel):
    """A model, for event loops: asyncio, uvloop and trio, several at one time.

    Every method may be called from every event loop of the process; jobs stay in theirs.

    Args:
        path: of the ``.mxq`` file.
        config: which cores; copied.
        max_inflight: most requests that one event loop may have in flight.
        max_waiting: most requests that may wait for a credit; None for no bound.
        cancel_grace: how long a cancelled request with ``out=`` waits for the device to let go of
            the caller's arrays, seconds; then they are quarantined.
        hooks: told about every request; None for nobody, which costs nothing.
        inline: let the event loop's own thread carry out ``infer(array)`` when a core is free. For
            models that take less time than handing them to a core; ``launch`` refuses others.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        config: ModelConfig | None = None,
        *,
        max_inflight: int | None = None,
        max_waiting: int | None = 1024,
        cancel_grace: float = 1.0,
        hooks: Hooks | None = None,
        inline: bool = False,
    ) -> None:
        super().__init__(
            path, config, max_inflight=max_inflight, max_waiting=max_waiting,
            cancel_grace=cancel_grace, hooks=hooks,
        )  # fmt: skip
        self._inline = inline
        self._accelerator: Accelerator | None = None
        self._owns_accelerator = False
        self._report: CloseReport | None = None

    # ---- life

    async def launch(self, acc: Accelerator) -> None:
        """Load the model onto an accelerator, in a worker thread. The accelerator closes it.

        Raises:
            ModelFormatError: if the file is not a sound model.
            FileNotFoundError: if there is none.
            ClosedError: if the model was launched before, or it or the accelerator is closed.
            UnsupportedError: if it is to run ``inline`` and takes too long for that.
        """
        await acc.open()
        resident = await run_blocking(
            functools.partial(acc.load_resident, self._path, self._config),
            lambda made: made.unload(),
        )
        try:
            self._settle_in(resident)
        except ClosedError:
            await run_shielded(resident.unload)
            raise
        self._accelerator = acc
        acc.adopt(self)
        if self._inline:
            try:
                await self._check_brief()
            except BaseException:
                await self.aclose()
                raise
            self.forms.flags = _binding.HERE

    async def _check_brief(self) -> None:
        """Refuse a model that would keep the event loop busy for longer than ``INLINE_LIMIT_S``."""
        stages = [loaded.stages[0] for loaded in self._here().loaded]
        for loaded, stage in zip(self._here().loaded, stages, strict=True):
            if loaded.direct is None or stage.bundle is None or self._here().in_parts:
                raise UnsupportedError("a model with CPU segments or state cannot run inline")
            call = self._single(stage.bundle, 0)
            timings = [(await self.run_native(call)).timing for _ in range(_INLINE_TRIES)]
            best = min(timing.t_done - timing.t_start for timing in timings) / 1e9
            if best > INLINE_LIMIT_S:
                raise UnsupportedError(
                    f"the model takes {best * 1e6:.0f} us: inline is for those that take less than "
                    f"{INLINE_LIMIT_S * 1e6:.0f} us"
                )

    async def aclose(self, drain: float | None = 5.0) -> CloseReport:
        """Stop admission, cancel what is queued, wait for what runs, and unload. Idempotent.

        It is shielded from cancellation and takes at most ``drain`` seconds, plus the unloading.

        Args:
            drain: longest wait for what runs, seconds; None for no bound.
        """
        if self._shut:
            while self._report is None:  # noqa: ASYNC110 - its closer may run in another loop
                await anyio.sleep(0.002)
            return self._report
        self._shut = True
        report = await shielded(self._close(math.inf if drain is None else drain))
        self._report = report
        return report

    async def _close(self, drain: float) -> CloseReport:
        before = self._in_flight()
        self.shut_ports()
        limit = time.monotonic() + drain
        pause = 0.0
        while self._in_flight() and time.monotonic() < limit:
            await anyio.sleep(pause)
            pause = 0.001
        left = self._in_flight()
        if self._resident is not None:
            await anyio.to_thread.run_sync(self._resident.unload)
        accelerator, self._accelerator = self._accelerator, None
        if accelerator is not None:
            accelerator.disown(self)
            if self._owns_accelerator:
                await accelerator.aclose(max(limit - time.monotonic(), 0.0))
        return CloseReport(drained=before - left, abandoned=left, timed_out=left > 0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    # ---- requests

    async def infer(
        self,
        x: object,
        *,
        out: Sequence[Array | Buffer] | None = None,
        cache_size: int = 0,
        params: object = None,
        deadline: float | None = None,
        priority: int = 0,
    ) -> list[Array]:
        """Run the model once.

        Args:
            x: one array, or a list with one array an input; a ``Job`` stands for its outputs, and
                is not waited for by the host if the device can go on by itself (same loop, same
                device, nothing to copy). float32, or uint8 (raw pixels, through
                the model's fused preprocessing if it has one), or int8 (quantised); other numbers
                are converted to float32, or to what the input is in ONNX. Images may be HWC or CHW;
                where both fit (a cube such as 8x8x8) HWC wins, whatever the model has. The batch
                dimension may be left out, or be of any size if the model has one. Not copied: do
                not change it before the outputs are there. Or a ``Lease`` of ``buffers``, whose
                outputs are its own: they hold until it is submitted again or released.
            out: arrays to write the outputs to, in the model's order; default: new ones.
            cache_size: tokens that slot 0 of the cache holds: where the new ones go. A smaller one
                than before rewinds. Only 0 for models without a cache.
            params: one ``BatchParam`` a sequence, whose tokens follow each other in the inputs;
                ``cache_size`` is not used then. Only None for models without a cache.
            deadline: seconds from now; a request that no core took until then never runs.
            priority: higher first.

        Returns:
            The outputs in the model's order: float32, or int8 for int8 inputs; outputs that are
            integers, flags or texts in ONNX are that in models with CPU segments. Images in the
            layout of the input; with a batch dimension if the inputs had one.

        Raises:
            ShapeError: if the arrays do not fit the model.
            CacheOverflowError: if the tokens find no room in the cache.
            NoCacheError: if the model has no cache and is asked for one.
            QueueFullError: if too many requests wait.
            DeadlineError: if the deadline passed before a core took the request.
            InferenceError: if the device failed it.
            DeviceLostError: if the device was lost.
            BufferInUseError: if the device may still write an array of ``out``.
            ClosedError: if the model is closed, or not launched.
        """
        if (
            type(x) is np.ndarray and out is None and deadline is None
            and type(priority) is int and not (priority or cache_size or params)
        ):  # fmt: skip
            form, port = self.forms.find(x), self._port
            if form is not None and port is not None and port.is_usable():
                made = port.at_once(form, x)
                if isinstance(made, list):
                    return made
                return await self.infer_usual(port, form, x, made)
        if type(x) is Lease:
            return await self.infer_lease(x, (out, cache_size, params, deadline, priority))
        prepared = await self._ready(x, out, (cache_size, params, deadline, priority))
        self.forms.learn(x, prepared)
        return (await self.run(prepared)).result()

    async def _ready(
        self,
        x: object,
        out: Sequence[Array | Buffer] | None,
        options: tuple[int, object, float | None, int],
    ) -> Prepared:
        jobs = jobs_in(x)
        if jobs:
            return await self.follow(x, jobs, out, options)
        return self.prepare(await self.arrays(x), out, *options)

    async def submit(
        self,
        x: object,
        *,
        out: Sequence[Array | Buffer] | None = None,
        cache_size: int = 0,
        params: object = None,
        deadline: float | None = None,
        priority: int = 0,
    ) -> Job:
        """Wait for a credit, submit, and return the job without waiting for its result.

        Waiters get their credits in the order in which they came. Arguments and errors are those
        of ``infer``, except for what happens after submission: see ``Job``.
        """
        if type(x) is Lease:
            return await self.submit_lease(x, (out, cache_size, params, deadline, priority))
        prepared = await self._ready(x, out, (cache_size, params, deadline, priority))
        port = self.port_here()
        return self.start(port, await self.credit(port), prepared)

    def try_submit(
        self,
        x: object,
        *,
        out: Sequence[Array | Buffer] | None = None,
        cache_size: int = 0,
        params: object = None,
        deadline: float | None = None,
        priority: int = 0,
    ) -> Job:
        """Submit at once or not at all. Arrays of other dtypes are converted here.

        Raises:
            QueueFullError: if no credit is free.
            MaccelError: as ``infer`` does.
        """
        if type(x) is Lease:
            return self.try_submit_lease(x, (out, cache_size, params, deadline, priority))
        port = self.port_here()
        jobs = jobs_in(x)
        if jobs and not can_follow(jobs, port):
            raise refuse()
        arrays = self.converted(expand(x) if jobs else x)
        prepared = self.prepare(arrays, out, cache_size, params, deadline, priority)
        if jobs:
            if not reads_in_place(prepared):
                raise refuse()
            prepared = prepared._replace(after=jobs)
        slot = port.take()
        if slot is None:
            port.drop()
            raise QueueFullError(f"all {port.limit} credits are in use")
        return self.start(port, slot, prepared)

    def stream(
        self,
        source: AsyncIterable[T] | Iterable[T],
        *,
        prepare: Callable[[T], Any] | None = None,
        finish: Callable[[list[Array]], Any] | None = None,
        depth: int | None = None,
        order: Order = "submit",
        overflow: Overflow = "block",
        on_error: OnError = "raise",
    ) -> Stream[T]:
        """Run the model over a source, pipelined: ``async with`` it, then ``async for``.

        Args:
            source: what to run over. A plain iterable is advanced in a worker thread.
            prepare: makes the model's input of an item; runs in worker threads.
            finish: makes ``item.outputs`` of the list of outputs; runs in worker threads.
            depth: most items between source and consumer; default: what keeps the device busy.
            order: "submit" keeps the order of the source, "complete" takes what is ready.
            overflow: what to do when the source is faster: "block" it; "drop_new" or "drop_old"
                items that wait; "latest": keep only the newest.
            on_error: "raise" the error of an item, or "yield" it as ``item.error``.

        Raises:
            InvalidError: if an option is not known.
        """
        return Stream(
            self, source, prepare=prepare, finish=finish, depth=depth, order=order,
            overflow=overflow, on_error=on_error,
        )  # fmt: skip

    def batched(
        self, *, max_batch: int = 8, max_wait: float = 0.002, max_queue: int = 256
    ) -> BatchedModel:
        """Let concurrent callers share requests: ``async with`` it, then ``await`` its ``infer``.

        Args:
            max_batch: most items of one request.
            max_wait: longest wait for company while the device is busy, seconds. While it is not,
                nobody waits.
            max_queue: most callers that may wait; more get QueueFullError.

        Raises:
            InvalidError: if a bound is not possible.
        """
        return BatchedModel(self, max_batch, max_wait, max_queue)

    async def speedrun(self, n: int = 10) -> float:
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
            call = self._single(stage.bundle, 0)
            for _ in range(n):
                job = await self.run_native(call)
                job.result()
                total_ns += job.timing.t_done - job.timing.t_start
        return total_ns / n / 1e9
