"""Where a stream's items come from: advanced so that no event loop waits for a decoder."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import anyio
import anyio.to_thread
import numpy as np

from maccel_aio.errors import InvalidError

T = TypeVar("T")
logger = logging.getLogger("maccel_aio")

_END: Any = object()
#: Longest wait, at the end, for a source that is being advanced in a thread: seconds.
_CLOSE_PATIENCE_S = 1.0


class Source(Generic[T]):
    """Advances an iterable, plain or asynchronous. One task.

    A list, a tuple or an array cannot block and is advanced in the loop; any other plain iterable
    in a worker thread. ``aclose`` closes a generator as ``contextlib.closing`` would.

    Args:
        items: what to advance.

    Raises:
        InvalidError: if it is not iterable.
    """

    def __init__(self, items: AsyncIterable[T] | Iterable[T]) -> None:
        self._items = items
        self._sync: Iterator[T] | None = None
        self._async: AsyncIterator[T] | None = None
        self._lock = threading.Lock()
        self._limiter = anyio.CapacityLimiter(1)
        self._inline = isinstance(items, Sequence | np.ndarray)
        if isinstance(items, AsyncIterable):
            self._async = aiter(items)
        elif self._inline:
            self._sync = iter(items)
        elif not isinstance(items, Iterable):
            raise InvalidError(f"a {type(items).__name__} is no source: it is not iterable")

    async def next(self) -> tuple[bool, T]:
        """Return (True, the next item), or (False, anything) at the end."""
        if self._async is not None:
            item = await anext(self._async, _END)
        elif self._inline:
            item = self._advance()
        else:
            # Abandoned when cancelled: a camera that hangs must not keep the loop from ending.
            item = await anyio.to_thread.run_sync(
                self._advance, abandon_on_cancel=True, limiter=self._limiter
            )
        return item is not _END, item

    def _advance(self) -> Any:  # noqa: ANN401 - T or the end mark
        with self._lock:
            if self._sync is None:
                self._sync = iter(self._items)  # type: ignore[arg-type]  # not the async kind
            return next(self._sync, _END)

    async def aclose(self) -> None:
        """Close the iterator if it can be closed. Shielded and bounded; a failure is logged."""
        try:
            with anyio.move_on_after(2 * _CLOSE_PATIENCE_S, shield=True):
                if self._async is not None:
                    close = getattr(self._async, "aclose", None)
                    if close is not None:
                        await close()
                elif not self._inline and hasattr(self._sync, "close"):
                    await anyio.to_thread.run_sync(self._close)
        except Exception:  # the stream has ended: nobody could handle it
            logger.exception("closing the source of a stream failed")

    def _close(self) -> None:
        if self._lock.acquire(timeout=_CLOSE_PATIENCE_S):
            try:
                self._sync.close()  # type: ignore[union-attr]  # the caller tested it
            finally:
                self._lock.release()
