"""Jobs of a pool: when the device of one is lost, it goes on at another, once."""

from __future__ import annotations

import functools
import logging
import time
from typing import TYPE_CHECKING

from maccel_aio._core import _binding
from maccel_aio._core._chain import jobs_in
from maccel_aio._core._lease import Lease
from maccel_aio.errors import BufferInUseError, DeviceLostError, MaccelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from maccel_aio._core._async_job import Job
    from maccel_aio._core._loop_model import Given
    from maccel_aio._core._replica import Replica

logger = logging.getLogger("maccel_aio")


class Mover:
    """Sees one job to its end, wherever that is. Its loop only.

    Args:
        replica: where it was submitted.
        x: what was submitted.
        given: the options.
        pick: finds another replica than this one, and counts the move; raises if none is left.
    """

    def __init__(
        self, replica: Replica, x: object, given: Given, pick: Callable[[Replica], Replica]
    ) -> None:
        self._replica: Replica | None = replica
        self._x, self._given, self._pick = x, given, pick
        self._since = time.monotonic()

    def watch(self, job: Job) -> Job:
        """Look after a job, and return it.

        A lease is memory of its device, and an input that is a job belongs to it as well: such a
        job ends with its device.
        """
        if type(self._x) is not Lease and not jobs_in(self._x):
            job._retry = self._move  # noqa: SLF001 - one mechanism
        job.add_done_callback(self._ended)
        return job

    def _move(self, job: Job) -> None:
        job._port.loop.spawn(functools.partial(self._carry, job))  # noqa: SLF001 - one mechanism

    async def _carry(self, job: Job) -> None:
        lost, self._replica = self._replica, None
        status = _binding.DEVICE_LOST
        try:
            if lost is not None:
                lost.end(DeviceLostError("lost"))
                self._replica = self._pick(lost)
                self._replica.begin()
                await self._replica.model.take_over(job, self._x, self._left())
                return
        except DeviceLostError:  # no other is left
            pass
        except BufferInUseError as problem:
            self._come_away(problem)
        except MaccelError as problem:
            status = problem.code
        except Exception as problem:  # whoever waits for the job must not wait for ever
            logger.exception("the input of %r cannot be submitted again", job)
            self._come_away(problem)
        job.fail(status)

    def _come_away(self, problem: Exception) -> None:
        """Leave a device that is well: the job is lost with the one before."""
        replica, self._replica = self._replica, None
        if replica is not None:
            replica.end(problem)

    def _left(self) -> Given:
        out, cache_size, params, deadline, priority = self._given
        if deadline is not None:
            deadline -= time.monotonic() - self._since
        return out, cache_size, params, deadline, priority

    def _ended(self, job: Job) -> None:
        replica, self._replica = self._replica, None
        if replica is None:
            return
        try:
            job.result()
        except MaccelError as problem:
            replica.end(problem)
        else:
            replica.end(None)
