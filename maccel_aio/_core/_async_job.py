"""Jobs of an event loop: awaitable, with callbacks."""

from __future__ import annotations

import contextvars
import functools
import logging
from typing import TYPE_CHECKING, Any

from maccel_aio._core._express import ExpressPort
from maccel_aio._core._job import BaseJob
from maccel_aio._core._types import JobState
from maccel_aio._typing import override
from maccel_aio.errors import WrongLoopError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from maccel_aio._core._backends import Loop
    from maccel_aio._core._express import Form
    from maccel_aio._core._ring import Ring
    from maccel_aio._typing import Array

logger = logging.getLogger("maccel_aio")

#: So many requests in a row found the ring idle before the next one looks out for its completion.
_LONE = 4


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


class LoopPort(ExpressPort):
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

    def at_once(self, form: Form, array: Array) -> list[Array] | BaseJob | None:
        """Take the short way: the outputs, or a job, or None where another way must be taken."""
        if self.streak >= self.most_streak or not self.may_express(form):
            return None
        self.streak += 1
        return self.express(form, array)

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
