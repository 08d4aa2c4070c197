"""The short way of a request that is over before its submitter would begin to wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maccel_aio._core import _binding, _entries
from maccel_aio._core._histogram import bucket_of
from maccel_aio._core._port import Call, Port

if TYPE_CHECKING:
    from maccel_aio._core._arrays import Plan
    from maccel_aio._core._base_model import Prepared
    from maccel_aio._core._job import BaseJob
    from maccel_aio._core._ring import Slot
    from maccel_aio._typing import Array, DType

_FORMS_KEPT = 64


class Form:
    """What calls of one kind have in common: one contiguous input that fits, and one output.

    Args:
        model: native model.
        plan: of the calls; copies nothing.
        flags: of the requests.
    """

    __slots__ = ("dtype", "flags", "inline", "native", "plan", "shape", "shown", "taken")

    def __init__(self, model: _binding.Handle, plan: Plan, flags: int) -> None:
        self.plan = plan
        #: Of the inputs, where it is looked up by identity, which no other one may get meanwhile.
        self.taken: DType | None = None
        self.flags = flags
        self.native = _entries.Form(model, plan.records, plan.match.items, flags)
        self.inline = bool(flags & _binding.HERE)
        #: Of the array to allocate.
        self.shape, self.dtype = plan.results[0].shape, plan.results[0].dtype
        self.shown = plan.needs_view

    def call(self, array: Array) -> Call:
        """Return the usual request."""
        return Call(self.native.handle, self.plan, [array], None, 0, 0, self.flags)


class Forms:
    """The forms of a model's calls, by what tells one from another. Any thread.

    Args:
        flags: of every request.
    """

    __slots__ = ("_known", "flags")

    def __init__(self, flags: int = 0) -> None:
        self.flags = flags
        self._known: dict[object, Form] = {}

    def find(self, array: Array) -> Form | None:
        """Return the form of a call with an array that the device can read as it is."""
        form = self._known.get((array.shape, array.strides, id(array.dtype)))
        return form if form is not None and array.flags.aligned else None

    def learn(self, x: object, prepared: Prepared) -> None:
        """Remember the form of a call that needs no conversion, for the next one like it."""
        plan, bundle = prepared.plan, prepared.loaded.stages[0].bundle
        if plan is None or bundle is None or plan.needs_copy or prepared.out is not None:
            return
        if prepared.loaded.finish_ns:  # every call has a deadline of its own
            return
        array = prepared.arrays[0]
        simple = plan.contiguous == (True,) and [one.contiguous for one in plan.results] == [True]
        if simple and array is x:
            if len(self._known) >= _FORMS_KEPT:
                self._known.clear()
            form = Form(bundle.handle, plan, self.flags)
            form.taken = array.dtype  # hashing it would take longer than the rest of the look
            self._known[array.shape, array.strides, id(form.taken)] = form


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
        output = np.empty(form.shape, form.dtype)
        slot = self.take()
        if slot is None:
            return None
        ring = self.ring
        try:
            count = ring.carry(slot, form.native, array, output)
        except BaseException:
            if slot.keep is None:
                self._release()
            else:  # the device has it
                self._runs_unseen(slot, self._adopt(slot, form, array, [output], 0))
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
