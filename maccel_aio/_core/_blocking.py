"""The blocking driver: a ring per thread, waiting in C with the GIL released.

The thread that submitted a job may wait for it, and so may any other: a lock makes sure that one
thread at a time uses the ring, and strangers poll the descriptor so that the owner can submit.
"""

from __future__ import annotations

import functools
import select
import threading
import time
from typing import TYPE_CHECKING

from maccel_aio._core._express import ExpressPort, Form
from maccel_aio._core._job import BaseJob
from maccel_aio._core._lookout import lookout
from maccel_aio._core._port import Port
from maccel_aio._core._ring import Ring
from maccel_aio._core._segments import Credits
from maccel_aio._core._types import JobState
from maccel_aio._typing import override
from maccel_aio.errors import ClosedError, QueueFullError, WaitTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from maccel_aio._core._device import NativeDevice
    from maccel_aio._core._entries import Options
    from maccel_aio._core._lease import Lease
    from maccel_aio._core._port import Call
    from maccel_aio._core._ring import Slot
    from maccel_aio._typing import Array

#: Most requests of one thread on one device.
RING_CREDITS = 256
#: Longest time in C at a stretch: signal handlers run in between.
SLICE_S = 0.1


class ThreadRing(Ring):
    """The ring of one thread on one device. Hold ``lock`` for everything but cancelling."""

    def __init__(self, device: NativeDevice) -> None:
        self.lock = threading.RLock()
        self.owner = threading.get_ident()
        self._thread = threading.current_thread()
        super().__init__(device, RING_CREDITS)
        with device.lock:
            device.thread_rings.add(self)

    def is_orphan(self) -> bool:
        """Return whether its thread has ended."""
        return not self._thread.is_alive()

    @override
    def dispose(self) -> None:
        """Close the ring as soon as nobody uses it."""
        with self.lock:
            super().dispose()

    def wait_some(self, timeout_s: float) -> None:
        """Wait for completions of anybody, at most one slice, and settle them."""
        pause = min(max(timeout_s, 0.0), SLICE_S)
        if threading.get_ident() == self.owner:
            with self.lock:
                if not self.disposed and self.wait(int(pause * 1e9)):
                    self.harvest()
            return
        if not self.lock.acquire(timeout=pause):
            return
        try:
            if self.disposed or self.busy == 0:
                return
            before = self.busy
            self.reap()
            idle = self.busy == before
        finally:
            self.lock.release()
        if idle:
            poller = select.poll()
            poller.register(self.fd, select.POLLIN)
            poller.poll(pause * 1000)


_local = threading.local()


def ring_here(device: NativeDevice) -> ThreadRing:
    """Return the ring of this thread on a device: made at its first use.

    Raises:
        ForkedError: if another process opened the device.
        ClosedError: if it is closed.
    """
    device.check()
    rings: dict[NativeDevice, ThreadRing] = _local.__dict__.setdefault("rings", {})
    ring = rings.get(device)
    if ring is None:
        for stale in [other for other in rings if other.closed or other.forked]:
            del rings[stale]
        ring = rings[device] = ThreadRing(device)
    return ring


class Job(BaseJob):
    """A submitted request. Any thread may wait for it, as often as it likes."""

    __slots__ = ()
    _port: ThreadPort

    @override
    def done(self) -> bool:
        """Return whether its result, or error, is decided. Never blocks."""
        if super().done():
            return True
        ring = self._port.thread_ring
        if ring.lock.acquire(blocking=False):
            try:
                if not ring.disposed:
                    ring.harvest()
            finally:
                ring.lock.release()
        return super().done()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is done; False when ``timeout`` seconds ran out first."""
        limit = None if timeout is None else time.monotonic() + timeout
        while not BaseJob.done(self):
            left = SLICE_S if limit is None else limit - time.monotonic()
            if left <= 0:
                return self.done()
            self._port.thread_ring.wait_some(left)
        return True

    @override
    def result(self, timeout: float | None = None) -> list[Array]:
        """Wait for the outputs, in the model's order.

        Args:
            timeout: seconds; None waits for as long as it takes. The job goes on afterwards.

        Raises:
            WaitTimeoutError: if the time ran out.
            MaccelError: if the job failed, was cancelled, or its model was closed.
        """
        if not self.wait(timeout):
            raise WaitTimeoutError(f"no result within {timeout:g} s: the job goes on")
        return super().result()

    def add_done_callback(self, function: Callable[[Job], object]) -> None:
        """Call ``function(job)`` once it is done: at once when it is, else in a thread for that.

        Args:
            function: must not block; if it raises in that thread, that is logged.
        """
        ring = self._port.thread_ring
        once = threading.Lock()

        def settled(_: object) -> None:
            if once.acquire(blocking=False):
                lookout.call(ring, functools.partial(function, self))

        if self.done():
            function(self)
            return
        lookout.watch(ring)
        with ring.lock:
            self._listeners = [*(self._listeners or ()), settled]
        if BaseJob.done(self):  # decided meanwhile, perhaps before it could see the listener
            settled(self)


class ThreadPort(ExpressPort):
    """A port of one thread."""

    def __init__(self, ring: ThreadRing, limit: int) -> None:
        super().__init__(ring, limit, 0, Job, _wake_nobody)
        self.thread_ring = ring

    @override
    def is_gone(self) -> bool:
        """Return whether its thread has ended and nothing of it runs."""
        return not self.in_flight and self.thread_ring.is_orphan()

    def begin(self, call: Call, limit: float | None) -> Job:
        """Submit a call, waiting for a credit until ``limit`` (monotonic seconds) if need be.

        Raises:
            QueueFullError: if no credit came in time.
            MaccelError: as the native status says.
        """
        return self._begin(lambda slot: self.start(slot, call), limit)

    def begin_lease(self, lease: Lease, options: Options, limit: float | None) -> Job:
        """Submit a lease likewise.

        Raises:
            BufferInUseError: if it is in flight by now.
            QueueFullError: if no credit came in time.
            MaccelError: as the native status says.
        """
        entry = lease.entry
        if entry is not None:
            return self._begin(lambda slot: self.launch(slot, lease, entry, options), limit)

        def start(slot: Slot) -> BaseJob:
            return self.adopt(lease, slot, lambda: self.start(slot, lease.prepared(options).call()))

        return self._begin(start, limit)

    def _begin(self, start: Callable[[Slot], BaseJob], limit: float | None) -> Job:
        ring = self.thread_ring
        while True:
            with ring.lock:
                if ring.disposed:
                    raise ClosedError("the device is closed")
                slot = self.take()
                if slot is not None:
                    job = start(slot)
                    assert isinstance(job, Job)
                    return job
            left = SLICE_S if limit is None else limit - time.monotonic()
            if left <= 0:
                raise QueueFullError(f"all {self.limit} credits are in use")
            ring.wait_some(left)

    def run_usual(self, form: Form, array: Array) -> list[Array] | Job:
        """Submit a call the short way; return its outputs, or its job if it takes longer.

        Raises:
            ClosedError: if the model or the device is closed.
            MaccelError: as the native status says.
        """
        ring = self.thread_ring
        if not self.watchers:  # they are told of jobs
            with ring.lock:
                if ring.disposed:
                    raise ClosedError("the device is closed")
                made = self.express(form, array)
            if made is not None:
                return made  # type: ignore[return-value]  # its job_type
        return self.begin(form.call(array), None)

    def settle_cancelled(self, job: Job, grace_s: float) -> None:
        """Cancel a job; wait for the device only if it writes the caller's own arrays."""
        job.cancel()
        limit = time.monotonic() + grace_s
        while job.state is JobState.ABANDONED and not BaseJob.done(job):
            left = limit - time.monotonic()
            if left <= 0:
                return
            self.thread_ring.wait_some(left)


class Tally(Port):
    """Counts requests that are carried out in parts, by any thread."""

    def __init__(self) -> None:
        super().__init__(Credits(1), 1, 0, Job, _wake_nobody)  # type: ignore[arg-type]  # no ring
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Count the beginning of a request."""
        with self._lock:
            self.in_flight += 1
            self.submitted += 1

    def end(self, status: int) -> None:
        """Count the end of a request."""
        with self._lock:
            self.in_flight -= 1
            self.count(status)


def _wake_nobody(parked: list[object]) -> None:
    """Threads wait in C: there is nobody to wake."""
