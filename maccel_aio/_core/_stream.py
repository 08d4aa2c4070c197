"""Pipelined inference over a source: decode, prepare, infer, finish, all at the same time.

An anyio task group owns one feeder and ``depth`` lanes. The feeder pulls items, a lane carries one
item from end to end, and what is ready waits in a window for the consumer. An item holds its place
until it is consumed, so everything is bounded by construction; no queue per stage.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Protocol, Self, TypeVar, get_args

import anyio
import anyio.to_thread

from maccel_aio._core import _binding
from maccel_aio._core._async_job import settled
from maccel_aio._core._source import Source
from maccel_aio._core._types import StreamItem, StreamStats, Timing
from maccel_aio._typing import override
from maccel_aio.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable
    from types import TracebackType

    from maccel_aio._core._async_job import LoopPort
    from maccel_aio._core._backends import Loop
    from maccel_aio._core._job import BaseJob

T = TypeVar("T")

Order = Literal["submit", "complete"]
Overflow = Literal["block", "drop_new", "drop_old", "latest"]
OnError = Literal["raise", "yield"]


class _Signal:
    """Wakes everybody who waits for a change; they look for themselves what it was."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._parked: list[Any] = []

    async def wait(self) -> None:
        await self._loop.park(self._parked)

    def notify(self) -> None:
        parked, self._parked = self._parked, []
        self._loop.wake(parked)


class Runs(Protocol):
    """What a stream needs of a model, or of several."""

    @property
    def cancel_grace(self) -> float:
        """Longest wait for what still runs at the end, seconds."""

    def port_here(self) -> LoopPort:
        """Return the port of the running loop."""

    def default_depth(self) -> int:
        """Return how many items keep the device busy."""

    async def request(self, x: object, jobs: set[BaseJob]) -> BaseJob:
        """Run once and return the job, done."""


class Stream(Generic[T]):
    """A pipelined run of a model over a source. Made by ``stream`` of a model.

    Use it in ``async with``, then iterate with ``async for``; leaving the block, in whatever way,
    ends everything. One event loop, one consumer at a time. All mutable state belongs to the loop.
    """

    def __init__(
        self,
        model: Runs,
        source: AsyncIterable[T] | Iterable[T],
        *,
        prepare: Callable[[T], Any] | None,
        finish: Callable[[list[Any]], Any] | None,
        depth: int | None,
        order: Order,
        overflow: Overflow,
        on_error: OnError,
    ) -> None:
        if order not in get_args(Order) or overflow not in get_args(Overflow):
            raise InvalidError(f"unknown order {order!r} or overflow {overflow!r}")
        if on_error not in get_args(OnError):
            raise InvalidError(f"unknown on_error {on_error!r}")
        if depth is not None and depth < 1:
            raise InvalidError(f"depth must be at least 1, got {depth}")
        self._model = model
        self._source: Source[T] = Source(source)
        self._prepare, self._finish = prepare, finish
        self._depth = depth or 0
        self._ordered = order == "submit"
        self._overflow = overflow
        self._raise = on_error == "raise"
        self._waiting: collections.deque[tuple[int, T]] = collections.deque()
        #: Items in a lane, in the order of the source; and what is ready, by index.
        self._sequence: collections.deque[int] = collections.deque()
        self._ready: dict[int, StreamItem[T]] = {}
        self._produced = self._delivered = self._dropped = self._failed = 0
        self._ended = self._over = self._closed = False
        self._problem: Exception | None = None
        self._jobs: set[BaseJob] = set()
        self._group: anyio.abc.TaskGroup | None = None
        self._guard = anyio.ResourceGuard("iterating over this stream")

    @override
    def __repr__(self) -> str:
        stats = self.stats()
        state = "new" if self._group is None else "ended" if self._ended else "running"
        return (
            f"<Stream {state} [{stats.in_flight} in flight, {stats.delivered} delivered, "
            f"{stats.dropped} dropped]>"
        )

    def stats(self) -> StreamStats:
        """Return a snapshot of the counters."""
        return StreamStats(
            produced=self._produced,
            delivered=self._delivered,
            dropped=self._dropped,
            failed=self._failed,
            in_flight=len(self._waiting) + len(self._sequence),
        )

    statistics = stats

    # ---- life

    async def __aenter__(self) -> Self:
        """Start pulling from the source."""
        if self._group is not None:
            raise InvalidError("a stream can be entered once")
        port = self._model.port_here()
        self._loop = port.loop
        self._depth = self._depth or self._model.default_depth()
        self._limiter = anyio.CapacityLimiter(max(2, _binding.cpu_count()))
        self._room, self._work, self._news = (_Signal(port.loop) for _ in range(3))
        group = anyio.create_task_group()
        await group.__aenter__()
        self._group = group
        group.start_soon(self._feed)
        for _ in range(self._depth):
            group.start_soon(self._lane)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the tasks, close the source, and let the device finish what it has begun."""
        await self.aclose()

    async def aclose(self) -> None:
        """End the stream. Idempotent; bounded by the model's ``cancel_grace``."""
        group, self._ended = self._group, True
        if group is None or self._closed:
            return
        self._closed = self._over = True
        group.cancel_scope.cancel()
        try:
            await group.__aexit__(None, None, None)
        finally:
            with anyio.move_on_after(self._model.cancel_grace, shield=True):
                for job in list(self._jobs):
                    await settled(job, self._loop)
            self._news.notify()

    # ---- consuming

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamItem[T]:
        """Return the next item.

        Raises:
            StopAsyncIteration: at the end.
            Exception: the error of an item, with ``on_error="raise"``; or of the source.
        """
        if self._group is None:
            raise InvalidError("enter the stream first: async with model.stream(...) as stream")
        with self._guard:
            while (item := self._take()) is None:
                if self._is_over():
                    self._stop()
                await self._news.wait()
        if item.error is not None and self._raise:
            self._over = True
            self._group.cancel_scope.cancel()
            raise item.error
        return item

    def _take(self) -> StreamItem[T] | None:
        """Take what is next for the consumer, if it is ready, and make room."""
        if not self._ready or self._over:
            return None
        index = self._sequence[0] if self._ordered else next(iter(self._ready))
        item = self._ready.pop(index, None)
        if item is not None:
            self._sequence.remove(index)
            self._delivered += item.error is None
            self._failed += item.error is not None
            self._room.notify()
            self._work.notify()
        return item

    def _is_over(self) -> bool:
        return self._over or (self._ended and not self._waiting and not self._sequence)

    def _stop(self) -> NoReturn:
        problem, self._problem = self._problem, None
        if problem is not None:
            raise problem
        raise StopAsyncIteration

    # ---- feeding

    async def _feed(self) -> None:
        try:
            while True:
                if self._overflow == "block":
                    while len(self._waiting) + len(self._sequence) >= self._depth:
                        await self._room.wait()
                there, value = await self._source.next()
                if not there:
                    break
                self._admit(value)
        except Exception as problem:  # noqa: BLE001 - the consumer gets it after the items before
            self._problem = problem
        finally:
            self._ended = True
            await self._source.aclose()
            self._news.notify()
            self._work.notify()

    def _admit(self, value: T) -> None:
        """Let an item wait for a lane, or drop it or another by the overflow policy."""
        index = self._produced
        self._produced += 1
        if self._overflow != "block":
            keep = 1 if self._overflow == "latest" else self._depth
            if len(self._waiting) >= keep:
                self._dropped += 1
                self._model.port_here().drop("overflow")
                if self._overflow == "drop_new":
                    return
                self._waiting.popleft()
        self._waiting.append((index, value))
        self._work.notify()

    # ---- carrying

    async def _lane(self) -> None:
        while True:
            while not self._waiting or len(self._sequence) >= self._depth:
                if self._ended and not self._waiting:
                    return
                await self._work.wait()
            index, value = self._waiting.popleft()
            self._sequence.append(index)
            self._ready[index] = await self._carry(index, value)
            self._news.notify()

    async def _carry(self, index: int, value: T) -> StreamItem[T]:
        timing: Timing | None = None
        try:
            x = value if self._prepare is None else await self._in_thread(self._prepare, value)
            job = await self._model.request(x, self._jobs)
            outputs: Any = job.result()
            timing = job.timing
            if self._finish is not None:
                outputs = await self._in_thread(self._finish, outputs)
        except Exception as problem:  # noqa: BLE001 - an item's failure belongs to the consumer
            return StreamItem(index, value, None, problem, timing)
        return StreamItem(index, value, outputs, None, timing)

    async def _in_thread(self, function: Callable[[Any], Any], value: object) -> Any:  # noqa: ANN401
        return await anyio.to_thread.run_sync(
            function, value, abandon_on_cancel=True, limiter=self._limiter
        )
