"""A model on several devices: each request goes to the one that has least to do."""

from __future__ import annotations

import contextlib
import itertools
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

import anyio

from maccel_aio._core._moving import Mover
from maccel_aio._core._replica import PoolStats, Replica
from maccel_aio._core._stream import Stream
from maccel_aio._core._types import CloseReport
from maccel_aio._typing import override
from maccel_aio.errors import BufferInUseError, DeviceLostError

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterable,
        Awaitable,
        Callable,
        Iterable,
        Iterator,
        Sequence,
    )
    from types import TracebackType

    from maccel_aio._core._async_job import Job, LoopPort
    from maccel_aio._core._buffer import Buffer
    from maccel_aio._core._job import BaseJob
    from maccel_aio._core._model import Model
    from maccel_aio._core._stream import OnError, Order, Overflow
    from maccel_aio._core._types import TensorSpec
    from maccel_aio._typing import Array

T = TypeVar("T")
R = TypeVar("R")


class PooledModel:
    """Replicas of a model on the devices of a pool. Made by ``Pool.load``.

    A device that is lost gets no more requests. What it had begun runs once more on another one:
    a request has no effect but its outputs.
    """

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self._replicas = tuple(replicas)
        self._turn = itertools.count()
        self._retried = 0

    @override
    def __repr__(self) -> str:
        alive = [replica.device for replica in self._replicas if not replica.lost]
        return f"<PooledModel on {', '.join(alive) or 'nothing'} [{self._retried} retried]>"

    # ---- description

    @property
    def replicas(self) -> tuple[Model, ...]:
        """The models, in the order of the pool's devices."""
        return tuple(replica.model for replica in self._replicas)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs of the first variant, in order."""
        return self._replicas[0].model.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs of the first variant, in order."""
        return self._replicas[0].model.outputs

    @property
    def cancel_grace(self) -> float:
        """See ``Model``."""
        return self._replicas[0].model.cancel_grace

    def stats(self) -> PoolStats:
        """Return a snapshot of the counters and of the health of the devices."""
        return PoolStats(tuple(replica.stats() for replica in self._replicas), self._retried)

    # ---- choosing

    def _pick(self, but: Replica | None = None) -> Replica:
        """Return the replica with least to do; in turn, where several have."""
        alive = [one for one in self._replicas if not one.lost and one is not but]
        if not alive:
            raise DeviceLostError("no device of the pool is left")
        fit = [one for one in alive if not one.is_resting()] or alive
        turn = next(self._turn)
        rank = range(len(fit))
        return fit[min(rank, key=lambda k: (fit[k].load, (k - turn) % len(fit)))]

    async def _anywhere(
        self, call: Callable[[Model, float | None], Awaitable[R]], deadline: float | None
    ) -> R:
        """Carry a call out; once more elsewhere if its device is lost.

        Args:
            call: awaits the request on a model, with the seconds that are left.
            deadline: seconds from now, or None.
        """
        since = time.monotonic()
        first = self._pick()
        try:
            return await self._on(first, call, deadline)
        except DeviceLostError as lost:
            try:
                other = self._pick(but=first)
            except DeviceLostError:
                raise lost from None
            self._retried += 1
            left = None if deadline is None else deadline - (time.monotonic() - since)
            try:
                return await self._on(other, call, left)
            except BufferInUseError:  # the lost device may still write the caller's arrays
                raise lost from None

    async def _on(
        self,
        replica: Replica,
        call: Callable[[Model, float | None], Awaitable[R]],
        deadline: float | None,
    ) -> R:
        replica.begin()
        problem: BaseException | None = None
        try:
            return await call(replica.model, deadline)
        except BaseException as raised:
            problem = raised
            raise
        finally:
            replica.end(problem)

    @contextlib.contextmanager
    def _offered(self) -> Iterator[Replica]:
        """Choose a replica for a submission; one that is lost by then never took the request."""
        replica = self._pick()
        replica.begin()
        try:
            yield replica
        except DeviceLostError as lost:
            replica.end(lost)
        except BaseException as problem:
            replica.end(problem)
            raise

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
        """Run the model once, on the device that has least to do.

        Args:
            x: as for ``Model.infer``.
            out: arrays to write the outputs to. If the device is lost and may still write them, the
                request is not tried elsewhere.
            cache_size: only 0.
            params: only None.
            deadline: seconds from now, a second try included.
            priority: higher first.

        Returns:
            The outputs, as ``Model.infer`` returns them.

        Raises:
            DeviceLostError: if no device is left, or two were lost with this request.
            MaccelError: as ``Model.infer`` does.
        """

        async def call(model: Model, left: float | None) -> list[Array]:
            return await model.infer(
                x, out=out, cache_size=cache_size, params=params, deadline=left, priority=priority
            )

        return await self._anywhere(call, deadline)

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
        """Submit to the device that has least to do, and return the job.

        If its device is lost the job goes on at another one, once, as ``infer`` does; not if an
        input is a job. Do not change the inputs before the job is done.

        Args:
            x: as for ``Model.infer``.
            out: as for ``infer``.
            cache_size: only 0.
            params: only None.
            deadline: seconds from now, a second try included.
            priority: higher first.

        Raises:
            DeviceLostError: if no device is left.
            MaccelError: as ``Model.submit`` does.
        """
        given = (out, cache_size, params, deadline, priority)
        while True:
            with self._offered() as replica:
                job = await replica.model.submit(
                    x, out=out, cache_size=cache_size, params=params, deadline=deadline,
                    priority=priority,
                )  # fmt: skip
                return Mover(replica, x, given, self._pick_again).watch(job)

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
        """Submit at once or not at all: see ``submit``.

        Args:
            x: as for ``Model.infer``.
            out: as for ``infer``.
            cache_size: only 0.
            params: only None.
            deadline: as for ``submit``.
            priority: higher first.

        Raises:
            QueueFullError: if no credit is free on the device that has least to do.
            DeviceLostError: if no device is left.
            MaccelError: as ``Model.try_submit`` does.
        """
        given = (out, cache_size, params, deadline, priority)
        while True:
            with self._offered() as replica:
                job = replica.model.try_submit(
                    x, out=out, cache_size=cache_size, params=params, deadline=deadline,
                    priority=priority,
                )  # fmt: skip
                return Mover(replica, x, given, self._pick_again).watch(job)

    def _pick_again(self, lost: Replica) -> Replica:
        """Choose another replica for what one has lost, and count it."""
        other = self._pick(but=lost)
        self._retried += 1
        return other

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
        """Run the model over a source, pipelined over all devices: see ``Model.stream``.

        Args:
            source: what to run over.
            prepare: makes the model's input of an item; runs in worker threads.
            finish: makes ``item.outputs`` of the list of outputs; runs in worker threads.
            depth: most items between source and consumer; default: the sum over the devices.
            order: "submit" keeps the order of the source, "complete" takes what is ready.
            overflow: what to do when the source is faster.
            on_error: "raise" the error of an item, or "yield" it.

        Raises:
            InvalidError: if an option is not known.
        """
        return Stream(
            self, source, prepare=prepare, finish=finish, depth=depth, order=order,
            overflow=overflow, on_error=on_error,
        )  # fmt: skip

    # ---- for streams

    def port_here(self) -> LoopPort:
        """Return the port of a replica in the running loop."""
        return self._pick().model.port_here()

    def default_depth(self) -> int:
        """Return how many items a stream needs to keep all devices busy."""
        return sum(one.model.default_depth() for one in self._replicas if not one.lost)

    async def request(self, x: object, jobs: set[BaseJob]) -> BaseJob:
        """Run the model once for a stream and return the job, done."""

        async def call(model: Model, left: float | None) -> BaseJob:
            del left
            job = await model.request(x, jobs)
            job.result()
            return job

        return await self._anywhere(call, None)

    # ---- life

    async def aclose(self, drain: float | None = 5.0) -> CloseReport:
        """Close all replicas, at the same time. Idempotent, bounded by ``drain``.

        Args:
            drain: longest wait for what runs, seconds; None for no bound.
        """
        reports: list[CloseReport] = []

        async def close(model: Model) -> None:
            reports.append(await model.aclose(drain))

        async with anyio.create_task_group() as tasks:
            for replica in self._replicas:
                tasks.start_soon(close, replica.model)
        return add_reports(reports)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def add_reports(reports: Sequence[CloseReport]) -> CloseReport:
    """Return what closing several things met."""
    return CloseReport(
        sum(report.drained for report in reports),
        sum(report.abandoned for report in reports),
        any(report.timed_out for report in reports),
    )
