"""Jobs as inputs of other jobs: the device goes on from one to the next without the host.

What the first job writes is what the second one reads, in place. The native ring holds the second
back until the first is done, and gives it the first one's end if that is not a good one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maccel_aio._core import _binding
from maccel_aio._core._job import BaseJob
from maccel_aio.errors import InvalidError

if TYPE_CHECKING:
    from maccel_aio._core._base_model import Prepared
    from maccel_aio._core._port import Port
    from maccel_aio._typing import Array


def jobs_in(x: object) -> tuple[BaseJob, ...]:
    """Return the jobs among the inputs of a call."""
    if isinstance(x, BaseJob):
        return (x,)
    if isinstance(x, list | tuple):
        return tuple(item for item in x if isinstance(item, BaseJob))
    return ()


def expand(x: object) -> list[object]:
    """Return the inputs of a call with the outputs of each job in its place.

    Raises:
        MaccelError: if a job failed or was cancelled.
    """
    made: list[object] = []
    for item in x if isinstance(x, list | tuple) else [x]:
        made += outputs_of(item) if isinstance(item, BaseJob) else [item]
    return made


def outputs_of(job: BaseJob) -> list[Array]:
    """Return the arrays that a job writes, or has written.

    Raises:
        MaccelError: if it failed or was cancelled.
    """
    plan, outputs = job._plan, job._outputs  # noqa: SLF001 - jobs and chains are one mechanism
    if job.done() or plan is None or outputs is None:
        return job.result()
    return plan.show(outputs) if plan.needs_view else outputs


def can_follow(jobs: tuple[BaseJob, ...], port: Port) -> bool:
    """Return whether a request on ``port`` may be submitted before these jobs are done."""
    return len(jobs) <= _binding.MAX_AFTER and all(
        job._port.ring is port.ring and job._plan is not None  # noqa: SLF001 - see above
        for job in jobs
    )


def reads_in_place(prepared: Prepared) -> bool:
    """Return whether the device reads the very arrays of a call, so that they may come later."""
    return prepared.plan is not None and not prepared.plan.needs_copy


def refuse() -> InvalidError:
    """Return the error of a job that must be awaited before its outputs can be used."""
    return InvalidError(
        "the job cannot be followed on the device (it belongs to another device or loop, or its "
        "outputs must be copied): await it first, or use infer()"
    )
