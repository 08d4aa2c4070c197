"""Pools of leases for threads."""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING

from maccel_aio._core import _blocking
from maccel_aio._core._buffer_pool import BasePool, Waiter
from maccel_aio._typing import override
from maccel_aio.errors import ClosedError, QueueFullError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from maccel_aio._core._lease import Lease, Place, Terms


class BufferPool(BasePool):
    """Sets of inputs and outputs in memory of the device. Made by ``Model.buffers``. Any thread."""

    def __init__(self, terms: Terms, n: int, max_waiting: int | None) -> None:
        super().__init__(terms, n, max_waiting)
        #: Those that are out: whoever waits for one may have to see to its completion.
        self._out: weakref.WeakSet[Lease] = weakref.WeakSet()

    def lease(self, timeout: float | None = None) -> Lease:
        """Take a set, waiting for one if need be: first come, first served.

        Use it in ``with`` to give it back at the end.

        Args:
            timeout: longest wait, seconds; None for no bound.

        Raises:
            QueueFullError: if none came in time, or too many wait.
            ClosedError: if the pool, or the device, is closed.
            OutOfMemoryError: if there is no memory for it.
        """
        place = self._take()
        return self._lend(self._wait(timeout) if place is None else place)

    @override
    def _lend(self, place: Place) -> Lease:
        lease = super()._lend(place)
        with self._lock:
            self._out.add(lease)
        return lease

    def _wait(self, timeout: float | None) -> Place:
        limit = None if timeout is None else time.monotonic() + timeout
        event, left = threading.Event(), _blocking.SLICE_S
        waiter = Waiter(event.set)
        self._enqueue(waiter)
        try:
            while waiter.place is None and not waiter.closed and left > 0:
                self._wait_some(event, min(left, _blocking.SLICE_S))
                left = _blocking.SLICE_S if limit is None else limit - time.monotonic()
            place, waiter.place = waiter.place, None
        finally:  # also at KeyboardInterrupt: what came meanwhile goes to the next
            self._leave(waiter)
        if place is None and waiter.closed:
            raise ClosedError("the pool of buffers was closed")
        if place is None:
            raise QueueFullError(f"none of {self.size} sets of buffers came back in time")
        return place

    def _wait_some(self, event: threading.Event, pause: float) -> None:
        """Wait for a lease of this thread to land, which nobody else would see, or to be woken."""
        with self._lock:
            jobs = [lease.job for lease in self._out]
        mine = [job for job in jobs if isinstance(job, _blocking.Job)]
        if mine:
            mine[0].wait(pause / 10)
        event.wait(0.0 if mine else pause)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
