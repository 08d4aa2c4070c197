"""The only code that knows an event loop: one module per library, one class each.

``current()`` binds to the loop that runs in this thread. A backend polls one descriptor for the
life of a ring, parks tasks, wakes them, and starts background tasks. It holds its loop weakly.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

from anyio.lowlevel import current_token

# Not at its first use: an import waits for files, and for other threads that import.
from maccel_aio._core._backends import _asyncio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from contextvars import Context


class Loop(Protocol):
    """What the core needs of an event loop. Its thread only, unless said otherwise."""

    #: Most awaits in a row that may end without suspending their task.
    most_streak: int

    def key(self) -> int:
        """Return a number that tells living loops apart."""

    def is_current(self) -> bool:
        """Return whether this loop runs in the calling thread. Any thread."""

    def is_gone(self) -> bool:
        """Return whether the loop is closed or collected. Any thread."""

    def watch(self, fd: int, on_ready: Callable[[], object], on_gone: Callable[[], object]) -> None:
        """Call ``on_ready`` whenever ``fd`` is readable; ``on_gone`` if the loop ends first."""

    def unwatch(self) -> None:
        """Take the descriptor out of the poller; it may be closed at once afterwards."""

    def park(self, waiters: list[Any]) -> Awaitable[object]:
        """Return what suspends the calling task until ``waiters``, which it joins, is woken."""

    def wake(self, waiters: list[Any]) -> None:
        """Wake the tasks of a list, those that were cancelled excepted."""

    def turn(self) -> Awaitable[object]:
        """Return what lets other tasks run, and lets a cancellation arrive."""

    def call_soon(self, context: Context, function: Callable[[], object]) -> None:
        """Call a function in the loop, later, in a context; a failure is logged."""

    def call_threadsafe(self, function: Callable[[], object]) -> bool:
        """Call a function in the loop, from any thread; False when the loop does not take it."""

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a background task. The function must not raise."""


def current() -> Loop:
    """Bind to the event loop that runs in this thread.

    Raises:
        RuntimeError: if none runs.
    """
    if _asyncio.owns(current_token().native_token):
        return _asyncio.AsyncioLoop()
    # Only in a loop of trio: whoever has none may not have the package, and no other loop is to
    # wait while another thread imports it.
    from maccel_aio._core._backends import _trio

    return _trio.TrioLoop()


def is_running() -> bool:
    """Return whether an event loop runs in this thread: whoever blocks here blocks it."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:  # noqa: SLF001 - fast
        return True
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_run())
