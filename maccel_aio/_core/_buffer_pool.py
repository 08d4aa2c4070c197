"""Pools of leases: so many sets of inputs and outputs, lent in the order of asking.

A place that its lease gave up while the device still used it comes back when the device has let go
of it, and not before: that is the quarantine of cancelled requests.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import threading
from typing import TYPE_CHECKING, Any, Self

from maccel_aio._core._backends import current
from maccel_aio._core._lease import Lease, Place
from maccel_aio._core._threads import Opening
from maccel_aio._typing import override
from maccel_aio.errors import ClosedError, InvalidError, QueueFullError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from maccel_aio._core._backends import Loop
    from maccel_aio._core._lease import Terms


class Waiter:
    """Somebody who waits for a place.

    Args:
        wake: lets it look again; from any thread.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        self.place: Place | None = None
        self.closed = False
        self.wake = wake


class BasePool:
    """What the faces' pools have in common. Any thread.

    Args:
        terms: of all sets.
        n: how many there are.
        max_waiting: most callers that may wait for one; None for no bound.

    Raises:
        InvalidError: if a bound is not possible.
    """

    def __init__(self, terms: Terms, n: int, max_waiting: int | None) -> None:
        if n < 1:
            raise InvalidError(f"a pool has at least one set of buffers, not {n}")
        if max_waiting is not None and max_waiting < 0:
            raise InvalidError(f"max_waiting must be at least 0, got {max_waiting}")
        self.size = n
        self._max_waiting = max_waiting
        # A lease that is collected comes back in the middle of anything, so the lock may be taken
        # again by its holder, and every step below is one operation of a deque.
        self._lock = threading.RLock()
        self._free = collections.deque(Place(terms) for _ in range(n))
        self._waiters: collections.deque[Waiter] = collections.deque()
        self._closed = False

    @override
    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self.idle} idle, {self.waiting} waiting"
        return f"<{type(self).__name__} of {self.size} [{state}]>"

    @property
    def idle(self) -> int:
        """How many sets are free now."""
        return len(self._free)

    @property
    def waiting(self) -> int:
        """How many callers wait for one."""
        return len(self._waiters)

    def try_lease(self) -> Lease:
        """Take a set at once or not at all.

        Raises:
            QueueFullError: if none is free, or others wait.
            ClosedError: if the pool, or the device, is closed.
            OutOfMemoryError: if there is no memory for it.
        """
        place = self._take()
        if place is None:
            raise QueueFullError(f"all {self.size} sets of buffers are in use")
        return self._lend(place)

    def close(self) -> None:
        """Lend nothing any more; who waits gets ClosedError. Idempotent, never blocks.

        Leases that are out stay valid until they are released.
        """
        with self._lock:
            self._closed = True
            self._free.clear()
            waiters = list(self._waiters)
            self._waiters.clear()
        for waiter in waiters:
            waiter.closed = True
            waiter.wake()

    # ---- for leases and faces

    def give_back(self, place: Place) -> None:
        """Take a place that nobody uses any more. Any thread, never blocks."""
        with self._lock:
            if self._closed:
                return
            self._free.append(place)
            granted = self._grant()
        for waiter in granted:
            waiter.wake()

    def _grant(self) -> list[Waiter]:
        granted: list[Waiter] = []
        with contextlib.suppress(IndexError):  # no place, or nobody, is left
            while self._free and self._waiters:
                waiter = self._waiters.popleft()
                waiter.place = self._free.popleft()
                granted.append(waiter)
        return granted

    def _take(self) -> Place | None:
        with self._lock:
            if self._closed:
                raise ClosedError("the pool of buffers is closed")
            if self._waiters:
                return None
            try:
                return self._free.popleft()
            except IndexError:
                return None

    def _enqueue(self, waiter: Waiter) -> None:
        with self._lock:
            if self._max_waiting is not None and len(self._waiters) >= self._max_waiting:
                raise QueueFullError(f"{len(self._waiters)} callers wait for buffers already")
            self._waiters.append(waiter)
            self._grant()  # what came back since _take(): the waiter has not gone to sleep yet
            waiter.closed = self._closed

    def _leave(self, waiter: Waiter) -> None:
        """Leave the line, or hand on what was granted meanwhile."""
        with self._lock:
            with contextlib.suppress(ValueError):
                self._waiters.remove(waiter)
            place, waiter.place = waiter.place, None
        if place is not None:
            self.give_back(place)

    def _lend(self, place: Place) -> Lease:
        try:
            return Lease(self, place)
        except BaseException:  # the place must not be lost
            self.give_back(place)
            raise


def _wake(loop: Loop, parked: list[Any]) -> None:
    if loop.is_current():
        loop.wake(parked)
    else:
        loop.call_threadsafe(functools.partial(loop.wake, parked))


class BufferPool(BasePool):
    """Sets of inputs and outputs in memory of the device. Made by ``Model.buffers``.

    Several event loops may use it at one time.
    """

    def lease(self) -> Opening[Lease]:
        """Take a set: ``await`` the result, or use it in ``async with`` to give it back at the end.

        First come, first served; a caller that is cancelled leaves the line.

        Raises:
            QueueFullError: if too many wait.
            ClosedError: if the pool, or the device, is closed.
            OutOfMemoryError: if there is no memory for it.
        """
        return Opening(self._acquire)

    async def _acquire(self) -> Lease:
        place = self._take()
        return self._lend(await self._wait() if place is None else place)

    async def _wait(self) -> Place:
        loop = current()
        parked: list[Any] = []
        waiter = Waiter(functools.partial(_wake, loop, parked))
        self._enqueue(waiter)
        try:
            while waiter.place is None and not waiter.closed:
                await loop.park(parked)
        except BaseException:  # also a cancellation: the place goes to the next
            self._leave(waiter)
            raise
        place, waiter.place = waiter.place, None
        if place is None:
            raise ClosedError("the pool of buffers was closed")
        return place

    async def aclose(self) -> None:
        """See ``close``."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
