"""Models of several segments: NPU programs and CPU graphs, one after the other.

Between segments a value is an array (items, *ONNX shape). Each request holds one credit of its
model from its first segment to its last; its NPU segments take slots of the ring on top.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from maccel_aio._core import _arrays, _binding, _guard
from maccel_aio._core._async_job import Job
from maccel_aio._core._edges import finish_outputs
from maccel_aio._core._port import Call
from maccel_aio._core._turns import LoopTurn
from maccel_aio._core._types import CancelOutcome, JobState
from maccel_aio._typing import override
from maccel_aio.errors import InferenceError, InvalidError, MaccelError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from maccel_aio._core._base_model import BaseModel, Prepared
    from maccel_aio._core._job import BaseJob
    from maccel_aio._core._resident import Stage
    from maccel_aio._typing import Array

    OnNpu = Callable[[Call, set[BaseJob]], Awaitable[list[Array]]]


def first_values(prepared: Prepared) -> dict[str, Array]:
    """Return the inputs of a call as values between segments: views, nothing is copied."""
    values: dict[str, Array] = {}
    for spec, array in zip(prepared.loaded.variant.inputs, prepared.arrays, strict=True):
        leads = _arrays.input_leads(spec, prepared.match)
        values[spec.name] = _arrays.to_onnx(spec, prepared.match, array, leads)
    return values


def stage_call(stage: Stage, values: dict[str, Array], prepared: Prepared) -> Call:
    """Return the native request of one NPU segment."""
    bundle, planner = stage.bundle, stage.planner
    if bundle is None or planner is None:
        raise InvalidError(f"segment {stage.segment.name} does not run on the NPU")
    arrays = _arrays.align(
        [values[port.name] for port in stage.segment.inputs], prepared.match.items
    )
    plan = planner.plan(arrays, None)
    if plan is None:
        raise InferenceError(f"segment {stage.segment.name} got values of unexpected shapes")
    if plan.needs_copy:
        arrays = plan.copy(arrays)
    return Call(bundle.handle, plan, arrays, None, prepared.deadline_ns, prepared.priority)


def keep(stage: Stage, made: list[Array], values: dict[str, Array]) -> None:
    """Add what a segment made to the values."""
    for port, array in zip(stage.segment.outputs, made, strict=True):
        values[port.name] = array


async def run_segments(
    prepared: Prepared, on_npu: OnNpu, running: set[BaseJob]
) -> dict[str, Array]:
    """Run all segments of a call and return all values.

    Args:
        prepared: the call.
        on_npu: runs one native request.
        running: holds the native job for as long as the device may use its memory.
    """
    values = first_values(prepared)
    for stage in prepared.loaded.stages:
        if stage.cpu is not None:
            made = await anyio.to_thread.run_sync(stage.cpu.run, values)
        else:
            made = await on_npu(stage_call(stage, values, prepared), running)
        keep(stage, made, values)
    return values


async def run_parts(
    model: BaseModel, prepared: Prepared, on_npu: OnNpu, running: set[BaseJob]
) -> Callable[[], list[Array]]:
    """Run all requests of a call, and return what makes its outputs.

    Args:
        model: of the call.
        prepared: the call; of a model with state only while it has the turn of its slots.
        on_npu: runs one native request.
        running: holds the native job for as long as the device may use its memory.
    """
    if prepared.steps is None:
        return functools.partial(
            finish_outputs, prepared, await run_segments(prepared, on_npu, running)
        )
    steps = []
    for step in prepared.steps.each():
        part = model.prepare_step(prepared, step)
        if part.plan is not None:
            await on_npu(part.call(), running)
        else:
            finish_outputs(part, await run_segments(part, on_npu, running))
        steps.append(step)
    return functools.partial(prepared.steps.join, steps)


class SegmentedJob(Job):
    """A job of a model with several segments, or with state, carried by a task of its own."""

    __slots__ = ("_failure", "_running", "_scope", "_turn")

    def __init__(self, *args: Any) -> None:  # noqa: ANN401 - as the base class
        super().__init__(*args)
        self._failure: MaccelError | None = None
        #: Native jobs that the device may still work at.
        self._running: set[BaseJob] = set()
        self._scope = anyio.CancelScope()
        #: Of the slots whose state it uses.
        self._turn: LoopTurn | None = None

    @property
    def running(self) -> set[BaseJob]:
        """Native jobs that the device may still work at."""
        return self._running

    def claim(self, prepared: Prepared) -> None:
        """Register the caller's arrays, and queue for the state.

        Raises:
            BufferInUseError: if a request may still write one of them.
        """
        if prepared.out is not None:
            self._claim = _guard.claim(prepared.out)
        if prepared.steps is not None:
            self._turn = LoopTurn(prepared.steps.state.turns, prepared.steps.slots)

    @override
    def error(self) -> MaccelError:
        """Return the error of a job that failed or was cancelled."""
        return self._failure if self._failure is not None else super().error()

    @override
    def cancel(self) -> CancelOutcome:
        """Stop between or within segments; what runs on the device is abandoned."""
        if self.state is JobState.ABANDONED:
            return CancelOutcome.ABANDONED
        if self.done():
            return CancelOutcome.DONE
        self.state = JobState.ABANDONED
        self._port.abandoned += 1
        self._scope.cancel()
        if not self._owes():
            self._port.wake(self)
        return CancelOutcome.ABANDONED

    async def carry(self, model: BaseModel, prepared: Prepared, on_npu: OnNpu) -> None:
        """Run it in the background and settle the job. Never raises."""
        with self._scope:
            await self.carry_here(model, prepared, on_npu)

    async def carry_here(self, model: BaseModel, prepared: Prepared, on_npu: OnNpu) -> None:
        """Run it in the calling task and settle the job. Raises only cancellation."""
        outputs: list[Array] | None = None
        try:
            if self._turn is not None:
                await self._turn.wait()
            finish = await run_parts(model, prepared, on_npu, self._running)
            if self.state is JobState.QUEUED:  # else nobody wants the outputs any more
                outputs = finish()
        except MaccelError as problem:
            self._failure = problem
        except Exception as problem:  # noqa: BLE001 - the job's owner must learn of it
            self._failure = InferenceError(f"a segment failed: {problem!r}")
            self._failure.__cause__ = problem
        finally:
            if self._turn is not None:
                self._turn.leave()
            self.close(outputs)

    def close(self, outputs: list[Array] | None) -> None:
        """Settle with outputs, or as failed or cancelled."""
        if self.state is JobState.ABANDONED:
            self._port.abandoned -= 1
            self._failure = None
        self._outputs = outputs
        if outputs is not None:
            self.state, status = JobState.DONE, _binding.OK
        elif self._failure is not None:
            self.state, status = JobState.FAILED, self._failure.code
        else:
            self.state, status = JobState.CANCELLED, _binding.CANCELED
        _guard.release(self._claim)
        left = [job for job in self._running if job.state is JobState.ABANDONED]
        if left:  # the credit stays taken for as long as the device works
            left[0]._then = functools.partial(self._port.settled, self, status)  # noqa: SLF001
            self._port.wake(self)
        else:
            self._port.settled(self, status)


class Credits:
    """Stands in for a ring where only credits are counted. One thread."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.starved: list[object] = []
        self._slot = object()

    def take(self) -> object:
        """Take a credit: the port's own limit is the bound."""
        return self._slot

    def give_back(self, slot: object) -> None:
        """Return a credit."""
        del slot

    def feed(self) -> None:
        """Nobody starves here."""

    def jobs(self) -> list[object]:
        """Return nothing: jobs of several segments are cancelled through their tasks."""
        return []
