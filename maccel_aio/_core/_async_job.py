"""Jobs of an event loop: awaitable, with callbacks."""

from __future__ import annotations

import contextvars
import functools
import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from maccel_aio._core import _binding, _entries
from maccel_aio._core._histogram import bucket_of
from maccel_aio._core._job import BaseJob
from maccel_aio._core._port import Call, Port
from maccel_aio._core._types import JobState
from maccel_aio._typing import override
from maccel_aio.errors import WrongLoopError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from maccel_aio._core._arrays import Plan
    from maccel_aio._core._backends import Loop
    from maccel_aio._core._ring import Ring, Slot
    from maccel_aio._typing import Array

logger = logging.getLogger("maccel_aio")

#: So many requests in a row found the ring idle before the next one looks out for its completion.
_LONE = 4


class Form:
    """What calls of one kind have in common: one contiguous input that fits, and one output.

    Args:
        model: native model.
        plan: of the calls; copies nothing.
        flags: of the requests.
    """

    __slots__ = ("dtype", "flags", "inline", "native", "plan", "shape", "shown")

    def __init__(self, model: _binding.Handle, plan: Plan, flags: int) -> None:
        self.plan = plan
        self.flags = flags
        self.native = _entries.Form(model, plan.records, plan.match.items, flags)
        self.inline = bool(flags & _binding.HERE)
        #: Of the array to allocate.
        self.shape, self.dtype = plan.results[0].shape, plan.results[0].dtype
        self.shown = plan.needs_view

    def call(self, array: Array) -> Call:
        """Return the usual request."""
        return Call(self.native.handle, self.plan, [array], None, 0, 0, self.flags)


class Job(BaseJob):
    """A submitted request. Await it as often as you like, from any task of its event loop.

    Cancelling a task that awaits it does not cancel the job: ``cancel`` does. Its loop's thread
    only, except for reading ``state`` and ``timing``.
    """

    __slots__ = ()
    _port: LoopPort

    def __await__(self) -> Generator[Any, Any, list[Array]]:
        """Wait for the outputs.

        Raises:
            WrongLoopError: if another event loop runs here.
            MaccelError: as ``result`` does.
        """
        loop = self._port.loop
        if not loop.is_current():
            raise WrongLoopError(f"{self!r} was submitted in another event loop")
        while not self.done():
            yield from loop.park(self._waiters).__await__()
        return self.result()

    def add_done_callback(
        self, function: Callable[[Job], object], *, context: contextvars.Context | None = None
    ) -> None:
        """Call ``function(job)`` in the job's loop once it is done, also when it is already.

        Args:
            function: must not block; if it raises, that is logged.
            context: to call it in; default: a copy of the current one.
        """
        chosen = contextvars.copy_context() if context is None else context
        call = functools.partial(_call, function, self)
        if self.done():
            self._port.loop.call_soon(chosen, call)
            return
        if self._listeners is None:
            self._listeners = []
        self._listeners.append(lambda _: self._port.loop.call_soon(chosen, call))


def _call(function: Callable[[Job], object], job: Job) -> None:
    try:
        function(job)
    except Exception:  # a callback of a user must not harm the loop
        logger.exception("a done-callback of %r failed", job)


class LoopPort(Port):
    """A port of an event loop.

    Args:
        ring: of the loop and the device, or a stand-in without native queue.
        limit: most requests in flight.
        max_waiting: most waiters.
        loop: the running one.
    """

    def __init__(
        self, ring: Ring, limit: int, max_waiting: int | None, loop: Loop, job_type: type[Job] = Job
    ) -> None:
        super().__init__(ring, limit, max_waiting, job_type, loop.wake)
        self.loop = loop
        self._is_current = loop.is_current
        #: Requests in a row that found the ring idle.
        self.lone = 0
        #: Requests in a row that did not suspend their task, and how many may.
        self.streak = 0
        self.most_streak = loop.most_streak
        #: Tasks that let others have their turn.
        self.yielding = 0

    @override
    def is_gone(self) -> bool:
        """Return whether its loop has ended and nothing of it runs."""
        return not self.in_flight and self.loop.is_gone()

    def may_express(self, form: Form) -> bool:
        """Return whether a request may go the short way now, and learn from its coming."""
        if self.watchers:
            return False  # they are told of jobs
        if form.inline:
            return True
        if self.yielding or self.ring.busy:
            self.lone = 0
            return False
        self.lone += 1
        return self.lone > _LONE

    def express(self, form: Form, array: Array) -> list[Array] | BaseJob | None:
        """Submit a request, and look out for a moment: brief ones end here.

        Only when ``may_express``: it is alone, so that nobody waits for the loop meanwhile, or the
        calling thread carries it out itself.

        Returns:
            The outputs; or a job, if it takes longer; or None, if no credit is free.

        Raises:
            ClosedError: if the model is closed.
            MaccelError: as the native status says.
        """
        slot = self.take()
        if slot is None:
            return None
        ring = self.ring
        try:
            output = np.empty(form.shape, form.dtype)
            count = ring.carry(slot, form.native, array, output)
        except BaseException:
            self._release()
            raise
        self.submitted += 1
        if count < _entries.CARRIED:
            return self._adopt(slot, form, array, [output], count)
        self.in_flight -= 1
        self.completed += 1
        lag = count - _entries.CARRIED
        self.lag_sum_ns += lag
        self.lag_counts[bucket_of(lag)] += 1
        if lag > self.lag_max_ns:
            self.lag_max_ns = lag
        if self.waiters or ring.starved:
            self._share()
        outputs = [output]
        return form.plan.show(outputs) if form.shown else outputs

    def _adopt(
        self, slot: Slot, form: Form, array: Array, outputs: list[Array], count: int
    ) -> BaseJob:
        """Make the job of a request that is submitted, then settle what completed meanwhile."""
        job = self.job_type(self, form.plan, outputs)
        job._user_data = slot.user_data  # noqa: SLF001 - port and job are one mechanism
        slot.job, slot.keep = job, (array, outputs, form)
        self.ring.settle_carried(count)
        return job

    async def turn(self) -> None:
        """Let others of the loop have their turn, after so many requests that did not suspend."""
        self.streak = 0
        self.yielding += 1
        try:
            await self.loop.turn()
        finally:
            self.yielding -= 1

    def is_usable(self) -> bool:
        """Return whether the calling thread may submit here now."""
        return not self.closed and self._is_current()

    def shut_from_outside(self) -> bool:
        """Let the port's own loop shut it, if that is another one that runs."""
        return not self.loop.is_current() and self.loop.call_threadsafe(self.shut)


async def settled(job: BaseJob, loop: Loop) -> None:
    """Wait until the device has let go of a job's memory."""
    while job.state in (JobState.QUEUED, JobState.ABANDONED):
        await loop.park(job._waiters)  # noqa: SLF001 - the loop's half of a job
