"""Calls of several native requests without an event loop: segments, and steps with state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maccel_aio._core._edges import finish_outputs
from maccel_aio._core._segments import first_values, keep, stage_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from maccel_aio._core._base_model import BaseModel, Prepared
    from maccel_aio._core._port import Call
    from maccel_aio._core._turns import ThreadTurn
    from maccel_aio._typing import Array

    OnNpu = Callable[[Call, float | None], list[Array]]


def run_parts(
    model: BaseModel,
    prepared: Prepared,
    on_npu: OnNpu,
    limit: float | None,
    turn: ThreadTurn | None,
) -> list[Array]:
    """Run all requests of a call and return its outputs. Blocks.

    Args:
        model: of the call.
        prepared: the call.
        on_npu: runs one native request until a limit.
        limit: monotonic seconds, or None.
        turn: of the slots that a call with state uses.

    Raises:
        WaitTimeoutError: if the time ran out.
        MaccelError: as a request or segment fails.
    """
    if prepared.steps is None or turn is None:
        return _run_segments(prepared, on_npu, limit)
    turn.wait(limit)
    steps = []
    for step in prepared.steps.each():
        part = model.prepare_step(prepared, step)
        if part.plan is not None:
            on_npu(part.call(), limit)
        else:
            _run_segments(part, on_npu, limit)
        steps.append(step)
    return prepared.steps.join(steps)


def _run_segments(prepared: Prepared, on_npu: OnNpu, limit: float | None) -> list[Array]:
    values = first_values(prepared)
    for stage in prepared.loaded.stages:
        if stage.cpu is not None:
            made = stage.cpu.run(values)
        else:
            made = on_npu(stage_call(stage, values, prepared), limit)
        keep(stage, made, values)
    return finish_outputs(prepared, values)
