"""Blocking calls from async code, without losing what they made when the caller is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

import anyio
import anyio.to_thread

from maccel_aio._typing import override

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")


class _Work(Generic[T]):
    """One blocking call. The lock decides between its start and its abandonment."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._abandoned = False
        self._started = False
        self.finished = False
        self.made: list[T] = []

    def __call__(self) -> None:
        with self._lock:
            if self._abandoned:
                return
            self._started = True
        try:
            self.made.append(self._function())
        finally:
            self.finished = True

    def abandon(self) -> bool:
        """Prevent the start; True when it has begun and must be waited for."""
        with self._lock:
            self._abandoned = True
            return self._started


async def run_blocking(function: Callable[[], T], undo: Callable[[T], object]) -> T:
    """Run a function in a worker thread.

    Args:
        function: blocks; runs to its end even when the caller is cancelled.
        undo: blocks; takes back what the function made when the caller is cancelled.

    Raises:
        BaseException: what the function raises.
    """
    work = _Work(function)
    try:
        await anyio.to_thread.run_sync(work)
    except BaseException:  # also a cancellation: what was made must not be lost
        with anyio.CancelScope(shield=True):
            while work.abandon() and not work.finished:  # noqa: ASYNC110 - a thread cannot set an Event
                await anyio.sleep(0.002)
            for made in work.made:
                await anyio.to_thread.run_sync(undo, made)
        raise
    return work.made[0]


async def shielded(awaitable: Awaitable[T]) -> T:
    """Await something to its end, whatever happens to the caller."""
    made: list[T] = []
    with anyio.CancelScope(shield=True):
        made.append(await awaitable)
    return made[0]


async def run_shielded(function: Callable[[], T]) -> T:
    """Run a function in a worker thread and wait for it, whatever happens to the caller."""
    work = _Work(function)
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(work)
    return work.made[0]


class AsyncCloseable(Protocol):
    """What an opening opens."""

    async def __aenter__(self) -> Self:
        """Enter."""

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Close."""


C = TypeVar("C", bound=AsyncCloseable)


class Opening(Generic[C], Awaitable[C]):
    """Something on its way: ``await`` it, or use it in ``async with`` to close it at the end.

    Args:
        start: makes the object; called once, at the first use.
    """

    __slots__ = ("_made", "_start")

    def __init__(self, start: Callable[[], Awaitable[C]]) -> None:
        self._start = start
        self._made: C | None = None

    @override
    def __await__(self) -> Generator[Any, Any, C]:
        return self._start().__await__()

    async def __aenter__(self) -> C:
        self._made = await self._start()
        return await self._made.__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        made, self._made = self._made, None
        return None if made is None else await made.__aexit__(exc_type, exc, traceback)
