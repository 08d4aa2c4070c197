"""The future of an asynchronous classic call: read once, polled, waited for, or awaited."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, ClassVar, Self

from maccel_aio._core._backends import current
from maccel_aio.compat._shared import convert
from maccel_aio.compat._shared.status import StatusCode

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Generator

    from maccel_aio._typing import Array
    from maccel_aio.compat._shared.errors import VendorError
    from maccel_aio.compat._shared.pending import Pending


class BaseFuture:
    """A result that is on its way.

    Args:
        _future: what it waits for; None for a future that never was valid.
        _inputs: arrays to keep alive until the result is read.
    """

    _error: ClassVar[type[VendorError]]
    _log: ClassVar[logging.Logger]

    def __init__(self, _future: Pending | None = None, _inputs: list[Array] | None = None) -> None:
        self._future = _future
        self._inputs = _inputs
        self._once = threading.Lock()
        self._valid = _future is not None

    @classmethod
    def from_cpp(cls, _future: Pending, _inputs: list[Array]) -> Self:
        """Make one of what it waits for."""
        return cls(_future, _inputs)

    def wait_for(self, timeout_ms: int) -> bool:
        """Wait at most so many milliseconds; any number of times.

        Args:
            timeout_ms: the bound; 0 and less only look.

        Returns:
            Whether the result can be read; False for a future that is not valid.

        Raises:
            TypeError: if the bound is no integer of 64 bits.
        """
        bound = convert.int64(timeout_ms)
        if not self._valid or self._future is None:
            self._log.warning("`Future::waitFor` was called with an invalid future.")
            return False
        return self._future.wait(max(bound, 0) / 1e3)

    def done(self) -> bool:
        """Return whether ``get`` will not wait: the result is there, or never will be."""
        return not self._valid or self._future is None or self._future.wait(0.0)

    def add_done_callback(self, function: Callable[[Self], object]) -> None:
        """Call ``function(future)`` once ``get`` will not wait: at once when it would not.

        Args:
            function: must not block; called in another thread, where an exception is logged.
        """
        if not self._valid or self._future is None:
            function(self)
        else:
            self._future.add_done_callback(lambda _: function(self))

    def __await__(self) -> Generator[Any, Any, list[Array]]:
        """Wait for the outputs in an event loop, and return them, once, as ``get`` does."""
        if not self.done():
            loop = current()
            waiters: list[Any] = []
            wake = functools.partial(loop.wake, waiters)
            self.add_done_callback(lambda _: loop.call_threadsafe(wake))
            while not self.done():
                yield from loop.park(waiters).__await__()
        return self.get()

    def get(self) -> list[Array]:
        """Wait for the outputs and return them, once.

        Raises:
            VendorError: ``Future_NotValid`` when they were read before or never will be, or what
                went wrong.
        """
        with self._once:
            valid, self._valid = self._valid, False
        if not valid or self._future is None:
            self._log.error("`Future::get` was called with an invalid future.")
            raise self._error.of(StatusCode.Future_NotValid, "the future has no result to read")
        try:
            return self._future.result()
        finally:
            self._inputs = None
