"""What happens to a device: watched by who wants to know, at no cost for anybody else.

A watch compares the device's own counters with what it saw last. So nothing is lost between two
looks, however slow the reader is, and what is not read takes no memory.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import anyio

from maccel_aio._typing import override
from maccel_aio.errors import ClosedError, InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from maccel_aio._core._types import DeviceStats

EventKind = Literal["lost", "failed", "late", "stalled", "recovered", "closed"]


class DeviceEvent(NamedTuple):
    """Something that happened to a device."""

    #: "lost": it is gone; all requests, and all later ones, end in DeviceLostError. "failed": it
    #: failed requests. "late": it completed requests that were complete; nobody noticed.
    #: "stalled": it has work and completes nothing. "recovered": it goes on. "closed": the last.
    kind: EventKind
    #: The device's name.
    device: str
    #: When it was seen: CLOCK_MONOTONIC nanoseconds.
    time_ns: int
    #: How many requests "failed" or "late" is about, since the event of that kind before it.
    requests: int = 0


class Watch:
    """Compares a device with what it was. One thread at a time; never blocks.

    Args:
        name: of the device.
        stats: returns its counters, or raises ClosedError.
        stall: seconds without a completion after which a device with work has stalled.

    Raises:
        InvalidError: if ``stall`` is not positive.
        ClosedError: if the device is closed.
    """

    def __init__(self, name: str, stats: Callable[[], DeviceStats], stall: float) -> None:
        if not stall > 0:  # NaN is not, either
            raise InvalidError(f"a stall is a positive number of seconds, not {stall}")
        self._name, self._stats = name, stats
        self._stall_ns = min(stall, 1e9) * 1e9
        self._before = stats()
        self._moved_ns = time.monotonic_ns()
        self._stalled = False
        self.ended = False

    def look(self) -> list[DeviceEvent]:
        """Return what happened since the last look.

        Raises:
            ForkedError: if another process opened the device.
        """
        if self.ended:
            return []
        now_ns = time.monotonic_ns()
        try:
            stats = self._stats()
        except ClosedError:
            self.ended = True
            return [DeviceEvent("closed", self._name, now_ns)]
        before, self._before = self._before, stats
        found = [
            DeviceEvent(kind, self._name, now_ns, count)
            for kind, count in _differences(before, stats)
        ]
        return found + self._motion(_ends(stats) != _ends(before), stats, now_ns)

    def _motion(self, moved: bool, stats: DeviceStats, now_ns: int) -> list[DeviceEvent]:
        idle = not (stats.running or stats.queued)
        if moved or idle:
            self._moved_ns = now_ns
            if self._stalled:
                self._stalled = False
                return [DeviceEvent("recovered", self._name, now_ns)]
        elif not self._stalled and now_ns - self._moved_ns >= self._stall_ns:
            self._stalled = True
            return [DeviceEvent("stalled", self._name, now_ns)]
        return []


def _ends(stats: DeviceStats) -> int:
    return stats.completed + stats.failed + stats.canceled + stats.expired


def _differences(before: DeviceStats, after: DeviceStats) -> list[tuple[EventKind, int]]:
    found: list[tuple[EventKind, int]] = []
    if after.lost and not before.lost:
        found.append(("lost", 0))
    if after.failed > before.failed:
        found.append(("failed", after.failed - before.failed))
    if after.stale > before.stale:
        found.append(("late", after.stale - before.stale))
    return found


class DeviceEvents:
    """The events of one device: ``async with`` it, then ``async for``. Made by ``events``.

    The iteration ends after the event "closed". Events that nobody waits for add up in the device's
    counters and come with the next look. One task at a time; cancelling a wait loses nothing.

    Args:
        start: opens the device if need be, and returns the watch.
        interval: seconds between two looks while somebody waits.

    Raises:
        InvalidError: if ``interval`` is not positive.
    """

    def __init__(self, start: Callable[[], Watch], interval: float) -> None:
        if not 0 < interval < math.inf:
            raise InvalidError(f"an interval is a positive number of seconds, not {interval}")
        self._start = start
        self._interval = interval
        self._watch: Watch | None = None
        self._ready: list[DeviceEvent] = []

    @override
    def __repr__(self) -> str:
        watch = self._watch
        state = "new" if watch is None else "ended" if watch.ended else "watching"
        return f"<DeviceEvents {state}>"

    async def __aenter__(self) -> Self:
        self._watch = self._start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._watch is not None:
            self._watch.ended = True
        self._ready.clear()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> DeviceEvent:
        """Wait for the next event.

        Raises:
            ClosedError: if the block was not entered.
            ForkedError: if another process opened the device.
        """
        if self._watch is None:
            raise ClosedError("events need their block: `async with acc.events() as events:`")
        while not self._ready:
            self._ready = self._watch.look()
            if not self._ready:
                if self._watch.ended:
                    raise StopAsyncIteration
                await anyio.sleep(self._interval)
        return self._ready.pop(0)
