"""Dynamic batching: a model whose concurrent callers share requests to the device."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

import anyio

from maccel_aio._core._batch import Caller
from maccel_aio._core._batcher import Batcher
from maccel_aio._typing import override
from maccel_aio.errors import ClosedError, InvalidError, UnsupportedError, WrongLoopError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from maccel_aio._core._model import Model
    from maccel_aio._core._types import BatchedStats
    from maccel_aio._typing import Array


class BatchedModel:
    """A model whose concurrent callers share requests. Made by ``Model.batched``.

    Use it in ``async with``; one event loop. Leaving the block finishes what was accepted.
    """

    def __init__(self, model: Model, max_batch: int, max_wait: float, max_queue: int) -> None:
        if max_batch < 1 or max_queue < 1:
            raise InvalidError(
                f"max_batch and max_queue must be at least 1: {max_batch}, {max_queue}"
            )
        if not 0 <= max_wait < 3600:  # NaN is not, either
            raise InvalidError(f"max_wait must be 0 to 3600 s, got {max_wait}")
        self._model = model
        self._limits = (max_batch, int(max_wait * 1e9), max_queue)
        self._batcher: Batcher | None = None
        self._closing = False

    @override
    def __repr__(self) -> str:
        if self._batcher is None:
            return "<BatchedModel new>"
        stats = self._batcher.stats()
        state = "closed" if self._closing else "open"
        return f"<BatchedModel {state} [{stats.in_flight} in flight, {stats.waiting} waiting]>"

    # ---- life

    async def __aenter__(self) -> Self:
        """Open it for the running event loop.

        Raises:
            InvalidError: if it was entered before.
            UnsupportedError: if an input of the model has no batch dimension, or it keeps state.
            ClosedError: if the model is closed, or not launched.
        """
        if self._batcher is not None:
            raise InvalidError("a batched model can be entered once")
        if any(spec.batch_axis != 0 for spec in self._model.inputs):
            raise UnsupportedError("an input of the model has no batch dimension")
        if self._model.cache_infos:
            raise UnsupportedError("the model keeps state: requests of its callers cannot be one")
        loop = self._model.port_here().loop
        self._loop = loop
        self._batcher = Batcher(self._model, loop, *self._limits)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self, drain: float = 5.0) -> None:
        """Refuse new callers and finish the others. Idempotent, shielded from cancellation.

        Args:
            drain: longest wait for those who were accepted, seconds; then they get ClosedError.
        """
        batcher = self._batcher
        if batcher is None or self._closing:
            return
        self._closing = True
        with anyio.CancelScope(shield=True):
            batcher.hurry()
            with anyio.move_on_after(drain):
                while not batcher.idle:  # noqa: ASYNC110 - a state of three parts, once in a life
                    await anyio.sleep(0.001)
            batcher.drop_the_rest()
            while not batcher.ended:  # noqa: ASYNC110 - its cancelled tasks need a turn or two
                await anyio.sleep(0.001)

    # ---- calling

    async def infer(
        self,
        x: object,
        *,
        out: Sequence[Array] | None = None,
        cache_size: int = 0,
        params: object = None,
        deadline: float | None = None,
        priority: int = 0,
    ) -> list[Array]:
        """Run the model once, together with others who call at the same time.

        Args:
            x: as for ``Model.infer``; with a batch dimension it counts as so many items.
            out: arrays to copy the outputs to; default: views of the outputs of the batch, which
                stay in memory for as long as one of them is kept.
            cache_size: only 0.
            params: only None.
            deadline: seconds from now; a call that no core took until then fails, and leaves its
                batch if that has not left yet.
            priority: higher first among those who wait.

        Returns:
            The outputs, as ``Model.infer`` returns them.

        Raises:
            ShapeError: if the arrays do not fit the model: nobody else is concerned.
            InvalidError: if an array of ``out`` is read-only.
            QueueFullError: if ``max_queue`` callers wait.
            DeadlineError: if the deadline passed before a core took the batch.
            InferenceError: if the device failed this call, also alone.
            DeviceLostError: if the device was lost.
            WrongLoopError: if it was opened in another event loop.
            ClosedError: if it or the model is closed.
        """
        arrays = await self._model.arrays(x)
        batcher = self._here()
        prepared = self._model.prepare(arrays, out, cache_size, params, deadline, priority)
        if out is not None and not all(array.flags.writeable for array in out):
            raise InvalidError("an array of out is read-only")
        if out is None and batcher.quiet:
            port = self._model.port_here()
            slot = port.take()
            if slot is not None:
                return await batcher.run_alone(port, slot, prepared)
        caller = Caller(prepared, time.monotonic_ns())
        batcher.join(caller)
        try:
            while not caller.done:
                await self._loop.park(caller.parked)
        except BaseException:  # a cancellation
            batcher.leave(caller)
            raise
        if caller.error is not None:
            raise caller.error
        return caller.outputs or []

    def stats(self) -> BatchedStats:
        """Return a snapshot of the counters.

        Raises:
            ClosedError: if it was not entered yet.
        """
        if self._batcher is None:
            raise ClosedError("the batched model is not entered yet")
        return self._batcher.stats()

    def _here(self) -> Batcher:
        if self._closing or self._batcher is None:
            raise ClosedError("the batched model is closed, or not entered yet")
        if not self._loop.is_current():
            raise WrongLoopError("the batched model was opened in another event loop")
        return self._batcher
