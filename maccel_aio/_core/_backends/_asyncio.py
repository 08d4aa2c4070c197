"""asyncio, and uvloop: a persistent reader on the descriptor, futures for waiting tasks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from asyncio import _get_running_loop, get_running_loop  # it does not raise: much faster
from typing import TYPE_CHECKING, Any

from maccel_aio.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from contextvars import Context

logger = logging.getLogger("maccel_aio")


def owns(token: object) -> bool:
    """Return whether a native loop token is asyncio's, or of a loop like uvloop's."""
    return isinstance(token, asyncio.AbstractEventLoop)


class AsyncioLoop:
    """The loop that runs in the thread of the constructor."""

    most_streak = 16

    def __init__(self) -> None:
        self._loop = weakref.ref(get_running_loop())
        self._key = id(get_running_loop())
        self._fd = -1
        self._tasks: set[asyncio.Task[None]] = set()

    def key(self) -> int:
        """Return a number that tells living loops apart."""
        return self._key

    def is_current(self) -> bool:
        """Return whether this loop runs in the calling thread."""
        running = _get_running_loop()
        return running is not None and running is self._loop()

    def is_gone(self) -> bool:
        """Return whether the loop is closed or collected."""
        loop = self._loop()
        return loop is None or loop.is_closed()

    def watch(self, fd: int, on_ready: Callable[[], object], on_gone: Callable[[], object]) -> None:
        """Poll ``fd``. A loop that is closed drops the reader, and with it what it refers to."""
        del on_gone  # the loop tells nobody: see is_gone()
        try:
            get_running_loop().add_reader(fd, on_ready)
        except RuntimeError as problem:  # its subclass, on Windows
            raise UnsupportedError(
                f"{type(get_running_loop()).__name__} cannot poll descriptors: use a selector loop "
                "of asyncio, uvloop or trio, or maccel_aio.sync"
            ) from problem
        self._fd = fd

    def unwatch(self) -> None:
        """Stop polling."""
        fd, self._fd = self._fd, -1
        loop = self._loop()
        if fd >= 0 and loop is not None and not loop.is_closed():
            loop.remove_reader(fd)

    def park(self, waiters: list[Any]) -> asyncio.Future[None]:
        """Return a future that ``wake`` resolves."""
        future: asyncio.Future[None] = get_running_loop().create_future()
        waiters.append(future)
        return future

    def wake(self, waiters: list[Any]) -> None:
        """Resolve the futures that are still waited for."""
        try:
            for future in waiters:
                if not future.done():
                    future.set_result(None)
        except RuntimeError:
            logger.debug("the loop of %d waiting tasks is closed", len(waiters))

    def turn(self) -> Awaitable[object]:
        """Let other tasks run."""
        return asyncio.sleep(0)

    def call_soon(self, context: Context, function: Callable[[], object]) -> None:
        """Call a function in the loop, later."""
        loop = self._loop()
        with contextlib.suppress(RuntimeError):  # closed: nobody is left to be called
            if loop is not None:
                loop.call_soon(function, context=context)

    def call_threadsafe(self, function: Callable[[], object]) -> bool:
        """Call a function in the loop, from any thread."""
        loop = self._loop()
        if loop is None or not loop.is_running():
            return False
        with contextlib.suppress(RuntimeError):  # closed between the test and the call
            loop.call_soon_threadsafe(function)
            return True
        return False

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a background task and keep it from being collected."""
        task = get_running_loop().create_task(function())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
