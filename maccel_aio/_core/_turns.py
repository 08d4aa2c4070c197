"""Fair locks, one a slot, that threads and event loops may queue for together."""

from __future__ import annotations

import collections
import functools
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from maccel_aio._core import _backends
from maccel_aio._typing import override
from maccel_aio.errors import WaitTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Longest wait at a stretch: signal handlers run in between.
_SLICE_S = 0.1


class Turns:
    """Grants slots, first come, first served, to one turn each at a time. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[int, collections.deque[Turn]] = {}

    @override
    def __repr__(self) -> str:
        return f"<Turns { ({slot: len(queue) for slot, queue in self._queues.items()}) }>"

    def join(self, turn: Turn) -> None:
        """Queue a turn for all of its slots at one time, so that no two wait for each other."""
        with self._lock:
            for slot in turn.slots:
                queue = self._queues.setdefault(slot, collections.deque())
                queue.append(turn)
                turn.missing += len(queue) > 1

    def leave(self, turn: Turn) -> None:
        """Give up a turn, granted or not, and wake whose turn it is then. Idempotent."""
        granted: list[Turn] = []
        with self._lock:
            if turn.left:
                return
            turn.left = True
            for slot in turn.slots:
                queue = self._queues[slot]
                first = queue[0] is turn
                queue.remove(turn)
                if not queue:
                    del self._queues[slot]
                elif first:
                    queue[0].missing -= 1
                    if not queue[0].missing:
                        granted.append(queue[0])
        for other in granted:
            if other.wake() is False:  # its loop has ended: nobody is there to use it
                self.leave(other)


class Turn:
    """A place in the queues of some slots; leave it in any case.

    Args:
        turns: the queues.
        slots: which ones.
        wake: called once it is granted, in whatever thread leaves before it; returns False when
            that reaches nobody.
    """

    __slots__ = ("_turns", "left", "missing", "slots", "wake")

    def __init__(self, turns: Turns, slots: Iterable[int], wake: Callable[[], object]) -> None:
        self.slots = frozenset(slots)
        #: Slots that others hold still.
        self.missing = 0
        self.left = False
        self.wake = wake
        self._turns = turns
        turns.join(self)

    def leave(self) -> None:
        """Give it up. Idempotent."""
        self._turns.leave(self)


class ThreadTurn(Turn):
    """A turn that a thread waits for: any thread, not only the one that queued."""

    __slots__ = ("_event",)

    def __init__(self, turns: Turns, slots: Iterable[int]) -> None:
        self._event = threading.Event()
        super().__init__(turns, slots, self._event.set)

    def wait(self, limit: float | None) -> None:
        """Block until it is granted.

        Args:
            limit: monotonic seconds; None waits for as long as it takes.

        Raises:
            WaitTimeoutError: if the time ran out.
        """
        while self.missing:
            left = _SLICE_S if limit is None else limit - time.monotonic()
            if left <= 0:
                raise WaitTimeoutError("no result in time: others use the cache")
            self._event.wait(min(left, _SLICE_S))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()


class LoopTurn(Turn):
    """A turn that tasks of the running event loop wait for."""

    __slots__ = ("_loop", "_parked")

    def __init__(self, turns: Turns, slots: Iterable[int]) -> None:
        loop = self._loop = _backends.current()
        parked: list[Any] = []
        self._parked = parked
        wake = functools.partial(loop.wake, parked)
        super().__init__(turns, slots, functools.partial(loop.call_threadsafe, wake))

    async def wait(self) -> None:
        """Wait until it is granted."""
        while self.missing:
            await self._loop.park(self._parked)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()
