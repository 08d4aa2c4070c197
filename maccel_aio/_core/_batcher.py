"""Who goes with whom, and when: boarding, submitting and dealing of batches. One event loop.

A caller that comes when all is quiet runs at once, as without batching. While the device has
little to do, others leave at the end of the loop's turn in which they came. While it is busy they
wait for company: until the batch is full, the first of them has waited ``max_wait``, or the device
comes back for more. There is no task per caller or batch: joining, boarding and dealing are plain
calls of the loop.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import time
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import anyio.to_thread

from maccel_aio._core._batch import Batch, Caller, Line, own_copy
from maccel_aio._core._batch_tally import BatchTally
from maccel_aio.errors import (
    CancelledRequestError,
    ClosedError,
    DeadlineError,
    InferenceError,
    MaccelError,
    OutOfMemoryError,
    QueueFullError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from maccel_aio._core._async_job import Job, LoopPort
    from maccel_aio._core._backends import Loop
    from maccel_aio._core._base_model import Prepared
    from maccel_aio._core._model import Model
    from maccel_aio._core._ring import Slot
    from maccel_aio._core._types import BatchedStats
    from maccel_aio._typing import Array

#: Batches of more bytes are put together in a worker thread, which costs what copying 1 MiB does.
GATHER_BYTES = 2 << 20
_CLOSED = "the batched model was closed"


class Batcher:
    """The lines of one batched model.

    Args:
        model: launched.
        loop: the running one.
        max_batch: most items of one request.
        max_wait_ns: longest wait for company.
        max_queue: most callers that may wait.
    """

    def __init__(
        self,
        model: Model,
        loop: Loop,
        max_batch: int,
        max_wait_ns: int,
        max_queue: int,
    ) -> None:
        self._model, self._loop = model, loop
        self._max_batch, self._max_wait_ns, self._max_queue = max_batch, max_wait_ns, max_queue
        #: Batches that run at one time without anybody waiting for company; and at most.
        self._eager = model.device_workers()
        self._most = 2 * self._eager
        self._context = contextvars.copy_context()
        self._lines: dict[object, Line] = {}
        self._waiting = self._in_flight = 0
        self._batches: set[Batch] = set()
        self._retrying: set[Caller] = set()
        #: Of callers that came when all was quiet.
        self._lone: set[Job] = set()
        self._hurried = self._kicked = self._pumping = False
        #: The parked watch; empty while it is on its way.
        self._watch_parked: list[Any] = []
        self._tally = BatchTally(max_batch)
        #: Of the few tasks that are needed.
        self._scopes: set[anyio.CancelScope] = set()
        self._spawn(self._watch)

    @property
    def idle(self) -> bool:
        """Whether nobody waits and nothing runs."""
        return not (self._waiting or self._in_flight or self._retrying)

    @property
    def ended(self) -> bool:
        """Whether none of its tasks is left."""
        return not self._scopes

    def _spawn(self, function: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run something in a task of its own, until it is done or everything is closed."""
        scope = anyio.CancelScope()
        self._scopes.add(scope)

        async def run() -> None:
            try:
                with scope:
                    await function(*args)
            finally:
                self._scopes.discard(scope)

        self._loop.spawn(run)

    # ---- callers

    @property
    def quiet(self) -> bool:
        """Whether a caller that comes now would be alone."""
        return not (self._waiting or self._in_flight)

    async def run_alone(self, port: LoopPort, slot: Slot, prepared: Prepared) -> list[Array]:
        """Carry out the call of whoever comes when all is quiet: at once, in its own task.

        Args:
            port: of the model.
            slot: a credit that was taken there.
            prepared: the call, without ``out``.
        """
        job = self._model.start(port, slot, prepared)
        self._tally.submitted += 1
        self._tally.leave_together(prepared.match.items)
        self._in_flight += 1
        self._lone.add(job)
        problem: BaseException | None = None
        try:
            return await job
        except CancelledRequestError:  # only closing cancels behind the back of the caller
            problem = ClosedError(_CLOSED)
            raise problem from None
        except BaseException as raised:
            problem = raised
            raise
        finally:
            self._lone.discard(job)
            if problem is not None:
                job.cancel()
            self._tally.end(problem)
            self._in_flight -= 1
            if self._waiting:
                self._pump()

    def join(self, caller: Caller) -> None:
        """Let a caller wait for a batch.

        Raises:
            QueueFullError: if too many wait.
        """
        if self._waiting >= self._max_queue:
            self._tally.refused += 1
            raise QueueFullError(f"{self._waiting} callers wait for a batch already")
        line = self._lines.get(caller.form)
        if line is None:
            line = self._lines[caller.form] = Line()
        line.join(caller)
        self._waiting += 1
        self._tally.submitted += 1
        if not self._kicked:  # at the end of this turn: others may come in it
            self._kicked = True
            self._loop.call_soon(self._context, self._pump)

    def leave(self, caller: Caller) -> None:
        """A caller was cancelled: out of its line, or its part of the batch is not wanted."""
        if caller.done:
            return
        caller.done = True
        self._tally.cancelled += 1
        line = self._lines.get(caller.form)
        if line is not None and line.leave(caller):
            self._waiting -= 1
            if not line.callers:
                del self._lines[caller.form]
        job = caller.job
        if job is not None and all(batch.unwanted() for batch in self._batches if batch.job is job):
            job.cancel()

    def _finish(self, caller: Caller, error: BaseException | None = None) -> None:
        if caller.done:
            return
        caller.done, caller.error, caller.job = True, error, None
        self._tally.end(error)
        self._loop.wake(caller.parked)

    def hurry(self) -> None:
        """Let nobody wait for company any more."""
        self._hurried = True
        self._pump()

    def drop_the_rest(self) -> None:
        """Give ClosedError to everybody who is still here, and cancel what runs."""
        left = list(self._retrying)
        left += [caller for line in self._lines.values() for caller in line.callers]
        self._lines.clear()
        self._waiting = 0
        for batch in list(self._batches):
            left += batch.callers
            if batch.job is not None:
                batch.job.cancel()
        for caller in left:
            self._finish(caller, ClosedError(_CLOSED))
        for job in self._lone:
            job.cancel()
        for scope in self._scopes:
            scope.cancel()

    def stats(self) -> BatchedStats:
        """Return a snapshot of the counters."""
        return self._tally.stats(self._waiting, self._in_flight)

    # ---- boarding

    def _pump(self) -> None:
        """Let batches leave for as long as some may."""
        self._kicked = False
        if self._pumping:  # a batch that ends at once: the loop below goes on
            return
        self._pumping = True
        try:
            now = time.monotonic_ns()
            while (form := self._next(now)) is not None:
                self._depart(form, now)
        finally:
            self._pumping = False
        if self._waiting and self._watch_parked:
            parked, self._watch_parked = self._watch_parked, []
            self._loop.wake(parked)

    def _next(self, now: int) -> object:
        """Return the form of the line that may leave and has waited longest, or None."""
        if self._in_flight >= self._most:
            return None
        busy = self._in_flight >= self._eager and not self._hurried
        best, since = None, 0
        for form, line in self._lines.items():
            oldest = line.oldest_ns()
            full = line.items >= self._max_batch
            if busy and not full and now - oldest < self._max_wait_ns:
                continue
            if best is None or oldest < since:
                best, since = form, oldest
        return best

    def _depart(self, form: object, now: int) -> None:
        line = self._lines[form]
        boarded = line.board(self._max_batch)
        if not line.callers:
            del self._lines[form]
        self._waiting -= len(boarded)
        going: list[Caller] = []
        for caller in boarded:
            self._tally.board(now - caller.joined_ns)
            if caller.expired(now):
                self._finish(caller, DeadlineError("the deadline passed before the batch left"))
            else:
                going.append(caller)
        if going:
            self._launch(Batch(going))

    def _launch(self, batch: Batch) -> None:
        self._in_flight += 1
        self._batches.add(batch)
        self._tally.leave_together(batch.items)
        if batch.nbytes > GATHER_BYTES:
            self._spawn(self._launch_large, batch)
            return
        try:
            arrays = batch.gather()
        except MemoryError as problem:
            self._landed(batch, OutOfMemoryError(f"no memory for a batch: {problem}"))
        else:
            self._submit(batch, arrays)

    async def _launch_large(self, batch: Batch) -> None:
        with self._landing(batch):
            self._submit(batch, await anyio.to_thread.run_sync(batch.gather))

    @contextlib.contextmanager
    def _landing(self, batch: Batch) -> Iterator[None]:
        """Whatever happens to a task that carries a batch: its callers learn of it."""
        try:
            yield
        except MaccelError as problem:
            self._landed(batch, problem)
        except MemoryError as problem:
            self._landed(batch, OutOfMemoryError(f"no memory for a batch: {problem}"))
        except BaseException:  # it is closed, or the loop ends
            self._landed(batch, ClosedError(_CLOSED))
            raise

    def _submit(self, batch: Batch, arrays: list[Array]) -> None:
        if batch.unwanted():
            self._landed(batch, None)
            return
        try:
            job = self._model.try_submit(
                arrays, deadline=batch.deadline(time.monotonic_ns()), priority=batch.priority
            )
        except QueueFullError:
            self._spawn(self._submit_later, batch, arrays)
        except MaccelError as problem:
            self._landed(batch, problem)
        else:
            self._fly(batch, job)

    async def _submit_later(self, batch: Batch, arrays: list[Array]) -> None:
        """Others have all credits of the model: wait in its line."""
        with self._landing(batch):
            job = await self._model.submit(
                arrays, deadline=batch.deadline(time.monotonic_ns()), priority=batch.priority
            )
            self._fly(batch, job)

    def _fly(self, batch: Batch, job: Job) -> None:
        batch.job = job
        for caller in batch.callers:
            caller.job = job
        if batch.unwanted():
            job.cancel()
        job.add_done_callback(functools.partial(self._arrived, batch), context=self._context)

    # ---- dealing

    def _arrived(self, batch: Batch, job: Job) -> None:
        try:
            outputs = job.result()
        except MaccelError as problem:
            self._landed(batch, problem)
            return
        batch.deal(outputs)
        started = job.timing.t_start
        for caller in batch.callers:
            late = caller.expired(started)
            error = DeadlineError("the deadline passed before a core took the batch")
            self._finish(caller, error if late else None)
        self._landed(batch, None)

    def _landed(self, batch: Batch, problem: MaccelError | None) -> None:
        """A batch is over: give an error to whom it concerns, and let the next one leave."""
        self._in_flight -= 1
        self._batches.discard(batch)
        left = [caller for caller in batch.callers if not caller.done]
        alone = isinstance(problem, InferenceError) and len(left) > 1
        for caller in left:
            if alone:  # one of them may be the reason: nothing of theirs was written
                self._retrying.add(caller)
                self._spawn(self._alone, caller)
            elif problem is not None:
                self._finish(caller, own_copy(problem))
        self._pump()

    async def _alone(self, caller: Caller) -> None:
        """Run a caller of a failed batch once more, by itself."""
        self._tally.retried += 1
        try:
            deadline = (caller.deadline_ns - time.monotonic_ns()) / 1e9
            job = await self._model.submit(
                caller.arrays, deadline=deadline if caller.deadline_ns else None,
                priority=caller.priority,
            )  # fmt: skip
            caller.job = job
            if caller.done:
                job.cancel()
            caller.take(await job)
            self._finish(caller)
        except MaccelError as problem:
            self._finish(caller, problem)
        except BaseException:  # it is closed, or the loop ends
            self._finish(caller, ClosedError(_CLOSED))
            raise
        finally:
            self._retrying.discard(caller)

    async def _watch(self) -> None:
        """Let those leave who have waited long enough although the device is busy."""
        while True:
            if not self._lines or self._in_flight >= self._most:
                await self._loop.park(self._watch_parked)
                continue
            oldest = min(line.oldest_ns() for line in self._lines.values())
            due = (oldest + self._max_wait_ns - time.monotonic_ns()) / 1e9
            if due > 0:
                await anyio.sleep(due)
            self._pump()
            await anyio.lowlevel.checkpoint()
