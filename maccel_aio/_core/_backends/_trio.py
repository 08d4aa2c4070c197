"""trio: one system task that waits for the descriptor, rescheduling for waiting tasks."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextvars import Context

logger = logging.getLogger("maccel_aio")


class _Parked:
    """One suspended task; ``task`` is None once it is rescheduled or cancelled."""

    __slots__ = ("task",)

    def __init__(self) -> None:
        self.task: trio.lowlevel.Task | None = trio.lowlevel.current_task()

    async def wait(self) -> None:
        """Suspend until rescheduled. Cancellable."""

        def abort(_: object) -> trio.lowlevel.Abort:
            self.task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)


class TrioLoop:
    """The run that the constructor is called in."""

    most_streak = 0  # every await is a checkpoint

    def __init__(self) -> None:
        self._token: trio.lowlevel.TrioToken | None = trio.lowlevel.current_trio_token()
        self._fd = -1
        self._scope = trio.CancelScope()
        self._gone = False

    def key(self) -> int:
        """Return a number that tells living runs apart."""
        return id(self._token)

    def is_current(self) -> bool:
        """Return whether this run is the one of the calling thread."""
        if not trio.lowlevel.in_trio_run():
            return False
        return trio.lowlevel.current_trio_token() is self._token

    def is_gone(self) -> bool:
        """Return whether the run has ended."""
        return self._gone

    def watch(self, fd: int, on_ready: Callable[[], object], on_gone: Callable[[], object]) -> None:
        """Start the system task that waits for ``fd``."""
        self._fd = fd

        async def pump() -> None:
            try:
                with self._scope, contextlib.suppress(trio.ClosedResourceError):
                    while self._fd >= 0:
                        await trio.lowlevel.wait_readable(fd)
                        if self._fd >= 0:
                            on_ready()
            finally:
                if self._fd >= 0:  # the run ends and takes its system tasks along
                    self._fd = -1
                    self._gone = True
                    on_gone()

        trio.lowlevel.spawn_system_task(pump)

    def unwatch(self) -> None:
        """Stop polling: the waiting system task wakes up and ends."""
        fd, self._fd = self._fd, -1
        if fd >= 0 and self.is_current():
            trio.lowlevel.notify_closing(fd)
            self._scope.cancel()

    def park(self, waiters: list[Any]) -> Coroutine[Any, Any, None]:
        """Return a coroutine that ends when ``wake`` reschedules its task."""
        parked = _Parked()
        waiters.append(parked)
        return parked.wait()

    def wake(self, waiters: list[Any]) -> None:
        """Reschedule the tasks that still wait."""
        for parked in waiters:
            task, parked.task = parked.task, None
            if task is not None:
                trio.lowlevel.reschedule(task)

    async def turn(self) -> None:
        """Let other tasks run."""
        await trio.lowlevel.checkpoint()

    def call_soon(self, context: Context, function: Callable[[], object]) -> None:
        """Call a function in the run, later."""
        if self._token is not None:
            self._token.run_sync_soon(context.run, _contained, function)

    def call_threadsafe(self, function: Callable[[], object]) -> bool:
        """Call a function in the run, from any thread."""
        with contextlib.suppress(trio.RunFinishedError):
            if self._token is not None:
                self._token.run_sync_soon(_contained, function)
                return True
        return False

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a background task."""
        trio.lowlevel.spawn_system_task(function)


def _contained(function: Callable[[], object]) -> None:
    try:
        function()
    except Exception:  # a callback of a user must not end the whole run
        logger.exception("a callback failed")
