"""One submission and completion queue pair, and the slots that keep its requests' memory alive.

Nothing here waits and nothing here knows an event loop. One thread at a time uses a ring, except
for ``cancel`` and ``in_flight``. A slot holds the arrays of its request from submission to its
completion, whoever lost interest in between: the device may write them until then.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from maccel_aio._core import _binding, _entries, _graveyard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from maccel_aio._core._arrays import Plan
    from maccel_aio._core._device import NativeDevice
    from maccel_aio._core._entries import Options as _Options
    from maccel_aio._core._job import BaseJob
    from maccel_aio._core._port import Port
    from maccel_aio._typing import Array

logger = logging.getLogger("maccel_aio")

#: Most completions that one wake-up takes; then other callbacks of the loop have their turn.
BUDGET = 256
_SLOT_BITS = 16
_NEXT_GENERATION = 1 << _SLOT_BITS
_SLOT_MASK = (1 << _SLOT_BITS) - 1


class Slot:
    """One place for a request: a reusable native entry and the references that it needs."""

    __slots__ = ("flags", "job", "keep", "model", "plan", "request", "user_data")

    def __init__(self, index: int) -> None:
        self.request = _binding.Request()
        #: generation << 16 | index; the generation grows with every use.
        self.user_data = index
        # What the native entry describes now: rewritten only when the form of the call changes.
        self.model: _binding.Handle = None
        self.plan: Plan | None = None
        self.flags = 0
        self.job: BaseJob | None = None
        self.keep: object = None


class Flight(NamedTuple):
    """A request that is described already and handed over with others."""

    slot: Slot
    job: BaseJob
    entry: _entries.Entry
    #: What the device needs until the completion.
    keep: object


class Ring:
    """A native ring and its slots.

    Args:
        device: an open device.
        credits_: most requests accepted and not reaped.
    """

    def __init__(self, device: NativeDevice, credits_: int) -> None:
        self.device = device
        self.capacity = credits_
        self.handle = device.adopt(_binding.open_ring(device.handle, credits_))
        self.fd = _binding.ring_fd(self.handle)
        #: Completions of an older generation: dropped and counted.
        self.stale = 0
        #: Ports with waiters that found no slot although they had credits left.
        self.starved: list[Port] = []
        self._slots: list[Slot] = []
        self._free: list[Slot] = []
        self._reaper = _binding.Reaper(BUDGET)
        self._batch = _entries.Batch()
        self.disposed = False

    @property
    def busy(self) -> int:
        """Number of slots in use."""
        return len(self._slots) - len(self._free)

    def take(self) -> Slot | None:
        """Take a free slot, or None when all credits are in use."""
        if self._free:
            return self._free.pop()
        if len(self._slots) < self.capacity:
            slot = Slot(len(self._slots))
            self._slots.append(slot)
            return slot
        return None

    def give_back(self, slot: Slot) -> None:
        """Return a slot that was taken and not submitted."""
        self._free.append(slot)

    def feed(self) -> None:
        """Let the starved ports try again, each in its turn."""
        starved, self.starved = self.starved, []
        for port in starved:
            port.grant()

    def submit(
        self,
        slot: Slot,
        job: BaseJob,
        form: tuple[_binding.Handle, Plan, int],
        arrays: Sequence[Array],
        outputs: Sequence[Array],
        deadline_ns: int,
        priority: int,
        after: Sequence[int] = (),
    ) -> None:
        """Hand a request to the device. Never blocks.

        Args:
            slot: taken by the caller; given back when this raises.
            job: settled when the completion is reaped.
            form: native model, plan, and flags.
            arrays: inputs, as the plan wants them; kept until the completion.
            outputs: where the device writes; kept until the completion.
            deadline_ns: CLOCK_MONOTONIC, or 0.
            priority: higher first.
            after: user data of requests of this ring that must complete first.

        Raises:
            MaccelError: as the native status says; the slot is free again.
        """
        model, plan, flags = form
        request = slot.request
        try:
            if slot.plan is not plan or slot.model is not model or slot.flags != flags:
                request.describe(model, plan.records, plan.num_io, plan.match.items, flags)
                slot.model, slot.plan, slot.flags = form
            position = 0
            for array, contiguous in zip(arrays, plan.contiguous, strict=True):
                request.point(position, array, contiguous)
                position += 1
            for array, result in zip(outputs, plan.results, strict=True):
                request.point(position, array, result.contiguous)
                position += 1
            slot.user_data += _NEXT_GENERATION
            slot.job, slot.keep = job, (arrays, outputs, model)
            job._user_data = slot.user_data  # noqa: SLF001 - ring and job are one mechanism
            status = request.submit(self.handle, slot.user_data, deadline_ns, priority, after)
        except BaseException:
            self._withdraw([slot])
            raise
        if status < 0:
            slot.job = slot.keep = None
            self._free.append(slot)
            raise _binding.error(status)

    def launch(
        self, slot: Slot, job: BaseJob, entry: _entries.Entry, keep: object, options: _Options
    ) -> None:
        """Hand over a request that is described already. Never blocks.

        Args:
            slot: taken by the caller; given back when this raises.
            job: settled when the completion is reaped.
            entry: of the request.
            keep: what the device needs until the completion.
            options: of the request.

        Raises:
            MaccelError: as the native status says; the slot is free again.
        """
        user_data = slot.user_data = slot.user_data + _NEXT_GENERATION
        slot.job, slot.keep = job, keep
        job._user_data = user_data  # noqa: SLF001 - ring and job are one mechanism
        try:
            status = entry.submit(self.handle, user_data, options)
        except BaseException:
            self._withdraw([slot])
            raise
        if status < 0:
            slot.job = slot.keep = None
            self._free.append(slot)
            raise _binding.error(status)

    def launch_all(self, flights: Sequence[Flight]) -> tuple[int, int]:
        """Hand over requests that are described already, together. Never blocks.

        Args:
            flights: their slots are taken by the caller; those of refused ones are free again.

        Returns:
            OK or the status of a refusal, and how many were accepted before it.
        """
        requests = []
        for slot, job, entry, keep in flights:
            user_data = slot.user_data = slot.user_data + _NEXT_GENERATION
            slot.job, slot.keep = job, keep
            job._user_data = user_data  # noqa: SLF001 - ring and job are one mechanism
            requests.append((entry, user_data))
        try:
            status, accepted = self._batch.submit(self.handle, requests)
        except BaseException:
            self._withdraw([flight.slot for flight in flights])
            raise
        for flight in flights[accepted:]:  # no slot must be lost
            flight.slot.job = flight.slot.keep = None
            self._free.append(flight.slot)
        return status, accepted

    def carry(self, slot: Slot, form: _entries.Form, array: Array, output: Array) -> int:
        """Hand over a request of one input and one output; look out whether it completes at once.

        The caller keeps the arrays meanwhile. Unless it was carried the request needs a job then,
        and ``settle_carried`` is to follow.

        Args:
            slot: taken by the caller; given back when it was carried, and when this raises, unless
                ``slot.keep`` is set then: the device has the request, and it needs a job.
            form: of the request.
            array: the input.
            output: where the device writes.

        Returns:
            CARRIED plus the nanoseconds since it was done; or how many completions were taken.

        Raises:
            MaccelError: as the native status says.
        """
        user_data = slot.user_data = slot.user_data + _NEXT_GENERATION
        try:
            count = form.carry(self.handle, user_data, array, output, self._reaper)
        except BaseException:
            if self._withdraw([slot]):
                slot.keep = (form, array, output)
            raise
        if count >= _entries.CARRIED:
            self._free.append(slot)
        elif count < 0:
            self._free.append(slot)
            self._salvage()  # completions of others were taken nevertheless
            raise _binding.error(count)
        return count

    def settle_carried(self, count: int) -> None:
        """Settle the jobs of the completions that ``carry`` took."""
        self._settle(self._reaper.carried(count))

    def cancel(self, user_data: int) -> int:
        """Try to remove a request: the native status. Any thread."""
        return _binding.CLOSED if self.disposed else _binding.cancel(self.handle, user_data)

    def reap(self) -> bool:
        """Settle the jobs of all completions that are there, at most BUDGET.

        Returns:
            Whether it is safe to sleep: False means that more is there and the ring readable.
        """
        try:
            completions, armed = self._reaper.reap(self.handle)
            self._settle(completions)
        except BaseException:
            self._salvage()
            _binding.notify(self.handle)
            raise
        if not armed:
            _binding.notify(self.handle)
        return armed

    def harvest(self) -> None:
        """Settle what is there without arming the descriptor: for those who wait in C."""
        try:
            self._settle(self._reaper.harvest(self.handle))
        except BaseException:
            self._salvage()
            raise

    # A signal handler may raise, as that of SIGINT does, between a native call and its result. What
    # the call did is found out afterwards: no request may run whose memory nobody keeps.

    def _withdraw(self, slots: Sequence[Slot]) -> int:
        """Free the slots of requests that the device does not have; return how many it has.

        Args:
            slots: of a submission that raised, in its order; none of them has a completion.
        """
        self._salvage()
        known = sum(slot.job is not None and slot not in slots for slot in self._slots)
        accepted = max(_binding.in_flight(self.handle) - known, 0)
        for slot in slots[accepted:]:
            slot.job = slot.keep = None
            self._free.append(slot)
        return accepted

    def _salvage(self) -> None:
        """Settle completions that were taken and not looked at; the others fit no slot any more."""
        if self._slots:
            stale = self.stale
            self._settle(self._reaper.carried(BUDGET))
            self.stale = stale

    def _settle(self, completions: Iterator[tuple[int, int, int, int, int, int]]) -> None:
        now = time.monotonic_ns()
        for user_data, status, _, submitted, started, done in completions:
            slot = self._slots[user_data & _SLOT_MASK]
            job = slot.job
            if job is None or slot.user_data != user_data:
                self.stale += 1
                continue
            slot.job = slot.keep = None
            self._free.append(slot)
            try:
                job.settle(status, (submitted, started, done, now))
            except Exception:  # one request must not take the others of this wake-up with it
                logger.exception("settling %r failed", job)

    def wait(self, timeout_ns: int) -> bool:
        """Block until a completion is there. The GIL is released."""
        return _binding.wait(self.handle, timeout_ns)

    def jobs(self) -> list[BaseJob]:
        """Return the jobs that have not completed."""
        return [slot.job for slot in list(self._slots) if slot.job is not None]

    def dispose(self) -> None:
        """Close the ring; what still runs keeps it, and its memory, in the graveyard.

        Never blocks. Its descriptor must be out of every poller.
        """
        if not self.disposed:
            self.disposed = True
            if not self.try_dispose():
                for job in self.jobs():
                    job.orphan()
                _graveyard.bury(self)

    def try_dispose(self) -> bool:
        """Free it if nothing runs. For the graveyard."""
        if self.device.forked:
            return True
        if not _binding.close_ring(self.handle, 0):
            return False
        self._reap_rest()
        _binding.free_ring(self.handle)
        self.device.forget(self.handle)
        return True

    def _reap_rest(self) -> None:
        """Settle what completed since the last wake-up: nothing more can come."""
        for _ in range(self.capacity // BUDGET + 1):
            if self.reap():
                break

    def __del__(self) -> None:
        if not getattr(self, "disposed", True):
            self.dispose()
