"""Pipelined inference without an event loop, and jobs that run in the background."""

from __future__ import annotations

import collections
import concurrent.futures
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from maccel_aio._core._pool import DaemonPool
from maccel_aio._core._types import CancelOutcome, JobState, StreamItem, Timing
from maccel_aio.errors import CancelledRequestError, WaitTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from maccel_aio._typing import Array

T = TypeVar("T")

_pool = DaemonPool(8)


class BackgroundJob:
    """A job of a model with several segments: a worker thread carries it. Any thread.

    Args:
        function: runs the segments.
        finish: called at its end, also when it never begins.
    """

    def __init__(
        self, function: Callable[[], list[Array]], finish: Callable[[], None] | None = None
    ) -> None:
        self._future = _pool.submit(function)
        if finish is not None:
            self._future.add_done_callback(lambda _: finish())

    @property
    def state(self) -> JobState:
        """Where it is."""
        future = self._future
        if not future.done():
            return JobState.QUEUED
        if future.cancelled():
            return JobState.CANCELLED
        return JobState.DONE if future.exception() is None else JobState.FAILED

    @property
    def timing(self) -> Timing:
        """Nothing: its segments have times of their own."""
        return Timing(0, 0, 0, 0)

    def done(self) -> bool:
        """Return whether its result, or error, is decided."""
        return self._future.done()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is done; False when ``timeout`` seconds ran out first."""
        concurrent.futures.wait([self._future], timeout)
        return self._future.done()

    def add_done_callback(self, function: Callable[[BackgroundJob], object]) -> None:
        """Call ``function(job)`` once it is done: at once when it is, else in its worker thread.

        Args:
            function: must not block; if it raises in that thread, that is logged.
        """
        self._future.add_done_callback(lambda _: function(self))

    def cancel(self) -> CancelOutcome:
        """Prevent its start; a job that has begun runs to its end."""
        if self._future.cancel():
            return CancelOutcome.REMOVED
        return CancelOutcome.DONE if self._future.done() else CancelOutcome.ABANDONED

    def result(self, timeout: float | None = None) -> list[Array]:
        """Wait for the outputs, in the model's order.

        Raises:
            WaitTimeoutError: if the time ran out; the job goes on.
            MaccelError: if it failed or was cancelled.
        """
        if not self.wait(timeout):
            raise WaitTimeoutError(f"no result within {timeout:g} s: the job goes on")
        if self._future.cancelled():
            raise CancelledRequestError("the request was cancelled")
        return self._future.result()


class _Job(Protocol):
    @property
    def timing(self) -> Timing: ...

    def result(self, timeout: float | None = None) -> list[Array]: ...

    def cancel(self) -> CancelOutcome: ...


class _Entry:
    """One item on its way."""

    __slots__ = ("error", "index", "job", "prepared", "value")

    def __init__(self, index: int, value: Any, prepared: Any) -> None:  # noqa: ANN401 - any item
        self.index = index
        self.value = value
        #: A future of what ``prepare`` returns, or None.
        self.prepared: concurrent.futures.Future[Any] | None = prepared
        self.job: _Job | None = None
        self.error: Exception | None = None


def stream(
    submit: Callable[[Any], _Job],
    source: Iterable[T],
    prepare: Callable[[T], Any] | None,
    finish: Callable[[list[Array]], Any] | None,
    depth: int,
    raises: bool,
) -> Iterator[StreamItem[T]]:
    """Run over a source with at most ``depth`` items in flight, in order.

    Args:
        submit: starts one request.
        source: advanced in the calling thread.
        prepare: makes an input of an item, in worker threads.
        finish: makes the item's outputs, in worker threads.
        depth: most items in flight.
        raises: raise the error of an item instead of yielding it.
    """
    ahead: collections.deque[_Entry] = collections.deque()
    try:
        for index, value in enumerate(source):
            ahead.append(_Entry(index, value, prepare and _pool.submit(prepare, value)))
            _start(ahead, submit)
            if len(ahead) >= depth:
                yield _deliver(ahead.popleft(), submit, finish, raises)
        while ahead:
            yield _deliver(ahead.popleft(), submit, finish, raises)
    finally:
        for entry in ahead:
            if entry.job is not None:
                entry.job.cancel()
            if entry.prepared is not None:
                entry.prepared.cancel()


def _start(ahead: Iterable[_Entry], submit: Callable[[Any], _Job]) -> None:
    """Submit, in order, what is prepared."""
    for entry in ahead:
        if entry.job is None and entry.error is None:
            if entry.prepared is not None and not entry.prepared.done():
                return
            _submit(entry, submit)


def _submit(entry: _Entry, submit: Callable[[Any], _Job]) -> None:
    try:
        x = entry.value if entry.prepared is None else entry.prepared.result()
        entry.job = submit(x)
    except Exception as problem:  # noqa: BLE001 - an item's failure belongs to the consumer
        entry.error = problem


def _deliver(
    entry: _Entry,
    submit: Callable[[Any], _Job],
    finish: Callable[[list[Array]], Any] | None,
    raises: bool,
) -> StreamItem[Any]:
    if entry.job is None and entry.error is None:
        _submit(entry, submit)
    outputs, timing = None, None
    if entry.job is not None:
        try:
            outputs = entry.job.result()
            timing = entry.job.timing
            if finish is not None:
                outputs = _pool.submit(finish, outputs).result()
        except Exception as problem:  # noqa: BLE001 - an item's failure belongs to the consumer
            outputs, entry.error = None, problem
    if entry.error is not None and raises:
        raise entry.error
    return StreamItem(entry.index, entry.value, outputs, entry.error, timing)
