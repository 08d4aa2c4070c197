"""How a model runs in event loops: ports, credits, waiting, and the cancellation contract."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from maccel_aio._core import _chain
from maccel_aio._core._arrays import as_arrays
from maccel_aio._core._async_job import Job, LoopPort, settled
from maccel_aio._core._base_model import BaseModel
from maccel_aio._core._edges import convert, converts_large
from maccel_aio._core._express import Forms
from maccel_aio._core._reactor import RING_CREDITS, reactor_for
from maccel_aio._core._segments import Credits, SegmentedJob
from maccel_aio._core._types import JobState
from maccel_aio.errors import ClosedError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from maccel_aio._core._base_model import Prepared
    from maccel_aio._core._buffer import Buffer
    from maccel_aio._core._config import ModelConfig
    from maccel_aio._core._express import Form
    from maccel_aio._core._job import BaseJob
    from maccel_aio._core._observe import Hooks
    from maccel_aio._core._port import Call
    from maccel_aio._core._ring import Slot
    from maccel_aio._typing import Array

    #: out, cache_size, params, deadline, priority: as callers gave them.
    Given = tuple[Sequence[Array | Buffer] | None, int, object, float | None, int]


class LoopModel(BaseModel):
    """A model whose requests are awaited. Several event loops may use it at one time.

    Args:
        path: of the ``.mxq`` file.
        config: which cores; copied.
        max_inflight: most requests that one event loop may have in flight.
        max_waiting: most requests that may wait for a credit; None for no bound.
        cancel_grace: how long a cancelled request with ``out=`` waits for the device, seconds.
        hooks: told about every request; None for nobody.
    """

    _ring_credits = RING_CREDITS

    def __init__(
        self,
        path: str | os.PathLike[str],
        config: ModelConfig | None = None,
        *,
        max_inflight: int | None = None,
        max_waiting: int | None = 1024,
        cancel_grace: float = 1.0,
        hooks: Hooks | None = None,
    ) -> None:
        super().__init__(
            path, config, max_inflight=max_inflight, max_waiting=max_waiting,
            cancel_grace=cancel_grace, hooks=hooks,
        )  # fmt: skip
        self._port: LoopPort | None = None
        #: Calls that need no conversion.
        self.forms = Forms()

    # ---- ports

    def port_here(self) -> LoopPort:
        """Return the port of the running loop: made at its first use.

        Raises:
            ClosedError: if the model is closed, or not launched.
            ForkedError: if another process opened the device.
        """
        port = self._port
        if port is not None and port.is_usable():
            return port
        port = self._port = self._find_port(self._here().in_parts)
        return port

    def _find_port(self, segmented: bool) -> LoopPort:
        resident = self._here()
        resident.device.check()
        job_type = SegmentedJob if segmented else Job
        for port in list(self._ports):
            if isinstance(port, LoopPort) and port.job_type is job_type and port.is_usable():
                return port
        reactor = reactor_for(resident.device)
        limit = self._credits()
        ring: Any = Credits(limit) if segmented else reactor.ring
        if not segmented and resident.in_parts:
            limit = reactor.ring.capacity  # the model's credits are counted by its other port
        made = LoopPort(ring, limit, self._max_waiting, reactor.loop, job_type)
        made.inner = not segmented and resident.in_parts
        self._add_port(made)
        return made

    def shut_ports(self) -> None:
        """Stop admission everywhere and cancel what is queued."""
        for port in list(self._ports):
            port.closed = True
            port.cancel_queued()
            if not (isinstance(port, LoopPort) and port.shut_from_outside()):
                port.shut()

    def default_depth(self) -> int:
        """Return how many items a stream needs to keep the device busy."""
        workers = self._here().device.info.workers
        return min(max(4, 2 * workers), self._credits())

    def device_workers(self) -> int:
        """Return how many requests the device works at in parallel on this host."""
        return self._here().device.info.workers

    # ---- carrying out

    async def arrays(self, x: object) -> list[Array]:
        """Return the inputs as arrays that the device can read; large ones convert in a thread."""
        arrays = as_arrays(x)
        if converts_large(arrays, self.dtypes):
            return await anyio.to_thread.run_sync(convert, arrays, self.dtypes)
        return convert(arrays, self.dtypes)

    async def request(self, x: object, jobs: set[BaseJob]) -> BaseJob:
        """Run the model once for a stream and return the job, done.

        Args:
            x: as for ``Model.infer``.
            jobs: holds the job for as long as the device may use its memory.
        """
        prepared = self.prepare(await self.arrays(x), None, 0, None, None, 0)
        return await self.run(prepared, jobs)

    async def follow(
        self,
        x: object,
        jobs: tuple[BaseJob, ...],
        out: Sequence[Array | Buffer] | None,
        options: tuple[int, object, float | None, int],
    ) -> Prepared:
        """Prepare a call whose inputs are outputs of jobs; wait for these if it must be.

        Args:
            x: the inputs, jobs among them.
            jobs: those.
            out: as for ``Model.infer``.
            options: cache_size, params, deadline and priority, likewise.

        Raises:
            MaccelError: as ``Model.infer`` does; or the error of a job.
        """
        port = self.port_here()
        if _chain.can_follow(jobs, port):
            prepared = self.prepare(self.converted(_chain.expand(x)), out, *options)
            if _chain.reads_in_place(prepared):
                return prepared._replace(after=jobs)
        for job in jobs:
            if not isinstance(job, Job):
                raise _chain.refuse()
            await job
        return self.prepare(await self.arrays(_chain.expand(x)), out, *options)

    async def run(self, prepared: Prepared, jobs: set[BaseJob] | None = None) -> BaseJob:
        """Carry out a call and return the job, done; its result may be an error."""
        if prepared.plan is not None:
            return await self._run_on(self.port_here(), prepared.call(), jobs)
        port = self.port_here()
        job = self._begin(port, await self.credit(port), prepared)
        try:
            await job.carry_here(self, prepared, self._on_npu)
        finally:
            if jobs is not None:
                jobs |= job.running
        return job

    async def run_native(self, call: Call, jobs: set[BaseJob] | None = None) -> BaseJob:
        """Carry out a native request and return the job, done."""
        return await self._run_on(self._find_port(segmented=False), call, jobs)

    async def credit(self, port: LoopPort) -> Slot:
        """Take a credit, or wait for one: first come, first served.

        Raises:
            QueueFullError: if too many wait.
            ClosedError: if the model is closed meanwhile.
        """
        slot = port.take()
        if slot is not None:
            return slot
        waiter = port.enqueue()
        try:
            while waiter.slot is None and not waiter.closed:
                await port.loop.park(waiter.parked)
            slot = None if port.closed else waiter.slot
        except BaseException:  # also a cancellation: the credit goes to the next
            port.leave(waiter)
            raise
        if slot is None:
            port.leave(waiter)
            raise ClosedError("the model was closed while the request waited for a credit")
        return slot

    async def _run_on(
        self, port: LoopPort, call: Call, jobs: set[BaseJob] | None = None
    ) -> BaseJob:
        slot = port.take()
        if slot is None:
            slot = await self.credit(port)
        job = port.start(slot, call)
        if jobs is not None:
            jobs.add(job)
        await self._settle(port, job)
        if jobs is not None:
            jobs.discard(job)
        return job

    async def _settle(self, port: LoopPort, job: BaseJob) -> None:
        """Wait until a job is done; whoever is cancelled meanwhile cancels it."""
        try:
            while not job.done():
                await port.loop.park(job._waiters)  # noqa: SLF001 - the loop's half of a job
        except GeneratorExit:  # the loop is gone: nothing can be awaited any more
            job.cancel()
            raise
        except BaseException:  # a cancellation: prompt for the caller, safe for the memory
            await self._cancel(port, job)
            raise

    async def infer_usual(
        self, port: LoopPort, form: Form, array: Array, made: BaseJob | None
    ) -> list[Array]:
        """Carry out a call whose form is known: the usual arguments, and one array that fits.

        Args:
            port: of the running loop.
            form: of the call.
            array: the input.
            made: what ``port.at_once`` returned for it.

        Raises:
            MaccelError: as ``infer`` does.
        """
        if made is None and port.streak >= port.most_streak and port.may_express(form):
            await port.turn()
            port.streak += 1
            now = port.express(form, array)
            if isinstance(now, list):
                return now
            made = now
        port.streak = 0
        if made is not None:
            await self._settle(port, made)
            return made.result()
        return (await self._run_on(port, form.call(array), None)).result()

    async def _cancel(self, port: LoopPort, job: BaseJob) -> None:
        """Cancel a job; wait for the device only if it writes the caller's own arrays."""
        job.cancel()
        if job.state is JobState.ABANDONED and not job.done():
            with anyio.move_on_after(self.cancel_grace, shield=True):
                await settled(job, port.loop)

    async def _on_npu(self, call: Call, jobs: set[BaseJob]) -> list[Array]:
        return (await self.run_native(call, jobs)).result()

    def _begin(self, port: LoopPort, slot: Slot, prepared: Prepared) -> SegmentedJob:
        job = SegmentedJob(port, None, [])
        try:
            job.claim(prepared)
        except BaseException:  # the credit must not be lost
            port.give_back(slot)
            raise
        port.submitted += 1
        if port.watchers:
            port.admitted(job)
        return job

    async def take_over(self, job: Job, x: object, given: Given) -> None:
        """Submit a call whose job another device has lost.

        Args:
            job: goes on with it, unless it is cancelled meanwhile.
            x: as for ``Model.infer``.
            given: out, cache_size, params, deadline and priority, likewise.

        Raises:
            MaccelError: as ``Model.submit`` does.
        """
        prepared = self.prepare(await self.arrays(x), *given)
        port = self.port_here()
        slot = await self.credit(port)
        if job.done() or prepared.plan is None:
            port.give_back(slot)
        else:
            port.start(slot, prepared.call(), job)

    def start(self, port: LoopPort, slot: Slot, prepared: Prepared) -> Job:
        """Submit a call with a credit that was taken, and return its job."""
        if prepared.plan is not None:
            return port.start(slot, prepared.call())  # type: ignore[return-value]  # its job_type
        job = self._begin(port, slot, prepared)
        port.loop.spawn(functools.partial(job.carry, self, prepared, self._on_npu))
        return job
