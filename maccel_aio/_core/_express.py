"""The short way of a request that is over before its submitter would begin to wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maccel_aio._core import _binding, _entries
from maccel_aio._core._histogram import bucket_of
from maccel_aio._core._port import Call, Port

if TYPE_CHECKING:
    from maccel_aio._core._arrays import Plan
    from maccel_aio._core._job import BaseJob
    from maccel_aio._core._ring import Slot
    from maccel_aio._typing import Array


class Form:
    """What calls of one kind have in common: one contiguous input that fits, and one output.

    Args:
        model: native model.
        plan: of the calls; copies nothing.
        flags: of the requests.
    """

    __slots__ = ("dtype", "flags", "inline", "native", "plan", "shape", "shown")

    def __init__(self, model: _binding.Handle, plan: Plan, flags: int) -> None:
        self.plan = plan
        self.flags = flags
        self.native = _entries.Form(model, plan.records, plan.match.items, flags)
        self.inline = bool(flags & _binding.HERE)
        #: Of the array to allocate.
        self.shape, self.dtype = plan.results[0].shape, plan.results[0].dtype
        self.shown = plan.needs_view

    def call(self, array: Array) -> Call:
        """Return the usual request."""
        return Call(self.native.handle, self.plan, [array], None, 0, 0, self.flags)


class ExpressPort(Port):
    """A port with a short way. One thread."""

    def express(self, form: Form, array: Array) -> list[Array] | BaseJob | None:
        """Submit a request, and look out for a moment: brief ones end here.

        Only for a request that is alone, so that nobody waits for the thread meanwhile, or that
        the calling thread carries out itself.

        Returns:
            The outputs; or a job, if it takes longer; or None, if no credit is free.

        Raises:
            ClosedError: if the model is closed.
            MaccelError: as the native status says.
        """
        slot = self.take()
        if slot is None:
            return None
        ring = self.ring
        try:
            output = np.empty(form.shape, form.dtype)
            count = ring.carry(slot, form.native, array, output)
        except BaseException:
            self._release()
            raise
        self.submitted += 1
        if count < _entries.CARRIED:
            return self._adopt(slot, form, array, [output], count)
        self.in_flight -= 1
        self.completed += 1
        lag = count - _entries.CARRIED
        self.lag_sum_ns += lag
        self.lag_counts[bucket_of(lag)] += 1
        if lag > self.lag_max_ns:
            self.lag_max_ns = lag
        if self.waiters or ring.starved:
            self._share()
        outputs = [output]
        return form.plan.show(outputs) if form.shown else outputs

    def _adopt(
        self, slot: Slot, form: Form, array: Array, outputs: list[Array], count: int
    ) -> BaseJob:
        """Make the job of a request that is submitted, then settle what completed meanwhile."""
        job = self.job_type(self, form.plan, outputs)
        job._user_data = slot.user_data  # noqa: SLF001 - port and job are one mechanism
        slot.job, slot.keep = job, (array, outputs, form)
        self.ring.settle_carried(count)
        return job
