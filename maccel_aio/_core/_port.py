"""Where one model meets one ring: admission, credits, counters. Nothing here waits.

A port belongs to one event loop, or to one thread of the synchronous face, and only that one uses
it. A credit is a slot of the ring, and a model may hold ``limit`` of them. Who finds none free
queues up; credits go to the waiters first, in order, so nobody overtakes.
"""

from __future__ import annotations

import collections
import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from maccel_aio._core import _binding, _guard
from maccel_aio._core._histogram import BUCKETS, bucket_of
from maccel_aio._core._ring import Flight
from maccel_aio._core._types import JobState
from maccel_aio._typing import override
from maccel_aio.errors import ClosedError, QueueFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from maccel_aio._core._arrays import Plan
    from maccel_aio._core._entries import Entry, Options
    from maccel_aio._core._job import BaseJob
    from maccel_aio._core._lease import Lease
    from maccel_aio._core._observe import DropReason, Watcher
    from maccel_aio._core._ring import Ring, Slot
    from maccel_aio._typing import Array


J = TypeVar("J", bound="BaseJob")


class Call(NamedTuple):
    """One request as the caller meant it, ready for the device."""

    model: _binding.Handle
    plan: Plan
    arrays: list[Array]
    #: The caller's own arrays, or None.
    out: list[Array] | None
    #: CLOCK_MONOTONIC, or 0.
    deadline_ns: int
    priority: int
    flags: int = 0
    #: Jobs of the same ring that write what this one reads: it begins when they are done.
    after: tuple[BaseJob, ...] = ()


def waiting_for(jobs: tuple[BaseJob, ...]) -> tuple[int, ...]:
    """Return the user data of the jobs that are not done.

    Raises:
        MaccelError: if one failed or was cancelled.
    """
    waiting = []
    for job in jobs:
        if job.done():
            job.result()
        else:
            waiting.append(job._user_data)  # noqa: SLF001 - port and job are one mechanism
    return tuple(waiting)


class Waiter:
    """Somebody who waits for a credit. ``slot`` is set when it is granted."""

    __slots__ = ("closed", "parked", "slot")

    def __init__(self) -> None:
        self.slot: Slot | None = None
        self.closed = False
        #: What the loop's backend needs to wake it.
        self.parked: list[Any] = []


class Port:
    """Admission of one model on one ring.

    Args:
        ring: shared with the other models of this loop and device.
        limit: most requests in flight.
        max_waiting: most waiters; None for no bound.
        job_type: what ``start`` makes.
        wake: wakes a list of what the backend parked.
    """

    def __init__(
        self,
        ring: Ring,
        limit: int,
        max_waiting: int | None,
        job_type: type[BaseJob],
        wake: Callable[[list[Any]], None],
    ) -> None:
        self.ring = ring
        self.limit = min(limit, ring.capacity)
        self.max_waiting = max_waiting
        self.closed = False
        #: Whether its requests are parts of those that another port of the model counts.
        self.inner = False
        self.in_flight = 0
        self.waiters: collections.deque[Waiter] = collections.deque()
        self.submitted = self.completed = self.failed = self.cancelled = self.expired = 0
        self.abandoned = 0
        self.lag_sum_ns = self.lag_max_ns = 0
        self.lag_counts = [0] * BUCKETS
        #: The model's name, and who watches: its hooks, and the traces that run.
        self.label = ""
        self.own_watchers: tuple[Watcher, ...] = ()
        self.watchers: tuple[Watcher, ...] = ()
        self.job_type = job_type
        self._wake = wake

    @override
    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return (
            f"<Port {state} [{self.in_flight}/{self.limit} in flight, {len(self.waiters)} waiting]>"
        )

    @property
    def device_name(self) -> str:
        """The device of its ring; nothing where only credits are counted."""
        device = getattr(self.ring, "device", None)
        return "" if device is None else str(device.name)

    def is_gone(self) -> bool:
        """Return whether its loop or thread has ended and nothing of it runs."""
        return False

    # ---- credits

    def take(self) -> Slot | None:
        """Take a credit if one is free and nobody waits for it.

        Raises:
            ClosedError: if the model is closed.
        """
        # Counted first, tested second: whoever closes from another thread does it the other way
        # round, so one of the two sees the other.
        self.in_flight += 1
        if self.closed:
            self.in_flight -= 1
            raise ClosedError("the model is closed")
        slot = None
        if not self.waiters and self.in_flight <= self.limit:
            slot = self.ring.take()
        if slot is None:
            self.in_flight -= 1
        return slot

    def enqueue(self) -> Waiter:
        """Join the queue for a credit.

        Raises:
            QueueFullError: if ``max_waiting`` others wait.
        """
        if self.max_waiting is not None and len(self.waiters) >= self.max_waiting:
            self.drop()
            raise QueueFullError(f"{len(self.waiters)} requests wait for a credit already")
        waiter = Waiter()
        self.waiters.append(waiter)
        if self.in_flight < self.limit and self not in self.ring.starved:
            self.ring.starved.append(self)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Leave the queue, or hand on a credit that was granted meanwhile."""
        if waiter.slot is not None:
            slot, waiter.slot = waiter.slot, None
            self.give_back(slot)
        else:
            # Not in the queue any more when the port was shut meanwhile.
            with contextlib.suppress(ValueError):
                self.waiters.remove(waiter)

    def grant(self) -> None:
        """Give free credits to waiters, first come, first served."""
        waiters = self.waiters
        while waiters and self.in_flight < self.limit:
            slot = self.ring.take()
            if slot is None:
                if self not in self.ring.starved:
                    self.ring.starved.append(self)
                return
            self.in_flight += 1
            waiter = waiters.popleft()
            waiter.slot = slot
            self._wake(waiter.parked)

    def shut(self) -> None:
        """Stop admission: everybody who waits gets ClosedError, what is queued is cancelled."""
        self.closed = True
        while self.waiters:
            waiter = self.waiters.popleft()
            waiter.closed = True
            self._wake(waiter.parked)

    # ---- requests

    def give_back(self, slot: Slot) -> None:
        """Return a credit that was taken and not used."""
        self.ring.give_back(slot)
        self._release()

    def start(self, slot: Slot, call: Call, job: BaseJob | None = None) -> BaseJob:
        """Submit a call with a credit that was taken.

        Args:
            slot: the credit.
            call: what to submit.
            job: goes on with this; default: a new one.

        Raises:
            BufferInUseError: if the device may still write an array of ``out``.
            MaccelError: as the native status says; or the error of a job that this one comes after.
        """
        plan = call.plan
        claim: tuple[int, ...] = ()
        try:
            after = waiting_for(call.after) if call.after else ()
            if call.out is None:
                outputs = [np.empty(result.shape, result.dtype) for result in plan.results]
            else:
                outputs = list(call.out)
                claim = _guard.claim(outputs, () if job is None else job._claim)  # noqa: SLF001
        except BaseException:  # the credit must not be lost
            self.give_back(slot)
            raise
        if job is None:
            job = self.job_type(self, plan, outputs)
        else:
            job.rebind(self, plan, outputs)
        job._claim = claim  # noqa: SLF001 - port and job are one mechanism
        try:
            self.ring.submit(
                slot, job, (call.model, plan, call.flags), call.arrays, outputs,
                call.deadline_ns, call.priority, after,
            )  # fmt: skip
        except BaseException:
            if not self._runs_unseen(slot, job):
                job._release()  # noqa: SLF001
                self._release()
            raise
        self.submitted += 1
        if self.watchers:
            self.admitted(job)
        return job

    def launch(self, slot: Slot, lease: Lease, entry: Entry, options: Options) -> BaseJob:
        """Submit a lease with a credit that was taken.

        Args:
            slot: the credit.
            lease: checked.
            entry: of the lease.
            options: of the request.

        Raises:
            BufferInUseError: if the lease is in flight by now.
            MaccelError: as the native status says.
        """
        try:
            job = self.job_type(self, lease.plan, list(lease.raw))
            lease.take_off(job)
        except BaseException:  # the credit must not be lost
            self.give_back(slot)
            raise
        job._lease = lease  # noqa: SLF001 - port and job are one mechanism
        try:
            self.ring.launch(slot, job, entry, lease.held, options)
        except BaseException:
            if not self._runs_unseen(slot, job):
                job.land()
                self._release()
            raise
        self.submitted += 1
        if self.watchers:
            self.admitted(job)
        return job

    def launch_all(self, leases: Sequence[tuple[Lease, Entry]]) -> list[BaseJob]:
        """Submit leases with one call to the device, all or none.

        Args:
            leases: checked, and the entry of each.

        Raises:
            QueueFullError: if there are fewer free credits.
            BufferInUseError: if one is in flight, or there twice.
            MaccelError: as the native status says.
        """
        flights: list[Flight] = []
        try:
            for lease, entry in leases:
                flights.append(self._board(lease, entry))
        except BaseException:  # neither credits nor leases must be lost
            for flight in flights:
                flight.job.land()
                self.give_back(flight.slot)
            raise
        status, accepted = self._hand_over(flights) if flights else (_binding.OK, 0)
        self.submitted += accepted
        if self.watchers:
            for flight in flights[:accepted]:
                self.admitted(flight.job)
        if status < 0:
            problem = _binding.error(status)
            for flight in flights[:accepted]:  # nobody would ever hear of them
                flight.job.cancel()
            raise problem
        return [flight.job for flight in flights]

    def _hand_over(self, flights: Sequence[Flight]) -> tuple[int, int]:
        """Submit; what the device does not take gives credit and lease back."""
        try:
            status, accepted = self.ring.launch_all(flights)
        except BaseException:
            for flight in flights:
                if not self._runs_unseen(flight.slot, flight.job):
                    flight.job.land()
                    self._release()
            raise
        for flight in flights[accepted:]:
            flight.job.land()
            self._release()
        return status, accepted

    def _runs_unseen(self, slot: Slot, job: BaseJob) -> bool:
        """Cancel a job that the device has although its submission raised; False if it has not."""
        if slot.job is not job:
            return False
        self.submitted += 1
        if self.watchers:
            self.admitted(job)
        job.cancel()
        return True

    def _board(self, lease: Lease, entry: Entry) -> Flight:
        slot = self.take()
        if slot is None:
            self.drop()
            raise QueueFullError(f"there are fewer free credits, of {self.limit}, than leases")
        try:
            job = self.job_type(self, lease.plan, list(lease.raw))
            lease.take_off(job)
        except BaseException:
            self.give_back(slot)
            raise
        job._lease = lease  # noqa: SLF001 - port and job are one mechanism
        return Flight(slot, job, entry, lease.held)

    def adopt(self, lease: Lease, slot: Slot, start: Callable[[], J]) -> J:
        """Submit a lease in another way than by its entry.

        Args:
            lease: checked.
            slot: a credit that was taken.
            start: submits the call of the lease with the credit, or gives it back and raises.

        Raises:
            BufferInUseError: if the lease is in flight by now.
            MaccelError: as ``start`` does.
        """
        try:
            lease.occupy(self)
        except BaseException:  # the credit must not be lost
            self.give_back(slot)
            raise
        try:
            job = start()
        except BaseException:
            lease.land()
            raise
        lease.job, job._lease = job, lease  # noqa: SLF001 - port and job are one mechanism
        return job

    def admitted(self, job: BaseJob) -> None:
        """Tell the watchers of a submission."""
        for watcher in self.watchers:
            watcher.admitted(self, job)

    def drop(self, reason: DropReason = "queue_full", n: int = 1) -> None:
        """Tell the watchers that something was turned away."""
        for watcher in self.watchers:
            watcher.dropped(reason, n)

    def _release(self) -> None:
        self.in_flight -= 1
        self._share()

    def _share(self) -> None:
        """Give what became free to those who wait, here and at the other models of the ring."""
        if self.waiters:
            self.grant()
        if self.ring.starved:
            self.ring.feed()

    def settled(self, job: BaseJob, status: int) -> None:
        """Count a completion, free its credit, wake whom it concerns. Called by the job."""
        self.in_flight -= 1
        if status == _binding.OK:
            self.completed += 1
            _, _, done, reaped = job._timing  # noqa: SLF001
            lag = reaped - done
            self.lag_sum_ns += lag
            if lag > self.lag_max_ns:
                self.lag_max_ns = lag
            self.lag_counts[bucket_of(lag)] += 1
        else:
            self.count(status)
        lease = job._lease  # noqa: SLF001
        if lease is not None:
            job._lease = None  # noqa: SLF001
            lease.land()
        for watcher in self.watchers:
            watcher.settled(self, job, status)
        if self.waiters or self.ring.starved:
            self._share()
        if job._waiters or job._listeners:  # noqa: SLF001
            self.wake(job)

    def lose(self, job: BaseJob, status: int) -> None:
        """Count a job that goes on elsewhere, and free its credit."""
        self.in_flight -= 1
        self.count(status)
        for watcher in self.watchers:
            watcher.settled(self, job, status)
        if self.waiters or self.ring.starved:
            self._share()

    def count(self, status: int) -> None:
        """Count how one request ended."""
        if status == _binding.OK:
            self.completed += 1
        elif status == _binding.CANCELED:
            self.cancelled += 1
        elif status == _binding.DEADLINE:
            self.expired += 1
        else:
            self.failed += 1

    def wake(self, job: BaseJob) -> None:
        """Wake everybody who waits for a job, and run its callbacks."""
        waiters = job._waiters  # noqa: SLF001
        if waiters:
            job._waiters = []  # noqa: SLF001
            self._wake(waiters)
        listeners = job._listeners  # noqa: SLF001
        if listeners:
            job._listeners = None  # noqa: SLF001
            for listener in listeners:
                listener(job)

    def cancel_queued(self) -> None:
        """Cancel every job of this model that has not begun."""
        for job in self.ring.jobs():
            if job._port is self and job.state is JobState.QUEUED:  # noqa: SLF001
                self.ring.cancel(job._user_data)  # noqa: SLF001
