"""Sets of inputs and outputs in memory of a device: bound to a model once, lent again and again."""

from __future__ import annotations

import warnings
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np

from maccel_aio._core import _entries, _guard, _memory, _shapes
from maccel_aio._core._arrays import Plan
from maccel_aio._typing import override
from maccel_aio.errors import BufferInUseError, ClosedError, InvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from maccel_aio._core._base_model import Prepared
    from maccel_aio._core._job import BaseJob
    from maccel_aio._core._resident import Resident
    from maccel_aio._typing import Array

_NO_PLAN = Plan(_shapes.Match(None, 1, False), b"", 0, (), (), (), False, False)


class Terms(NamedTuple):
    """What all sets of a pool have in common."""

    resident: Resident
    #: The call, with arrays that stand for those of a set.
    prepared: Prepared
    layout: _memory.Layout
    num_inputs: int
    #: Whether the device reads the inputs where they are, as one request.
    direct: bool

    @property
    def plan(self) -> Plan:
        """The plan of the call; an empty one for a model of several segments."""
        return _NO_PLAN if self.prepared.plan is None else self.prepared.plan


def terms_of(resident: Resident, prepared: Prepared) -> Terms:
    """Work out the sets of a call.

    Args:
        resident: the model.
        prepared: a call of the wanted shapes and dtypes, without ``out``.
    """
    plan = prepared.plan
    if plan is None:
        specs = prepared.loaded.variant.outputs
        shapes = [_shapes.output_shape(spec, prepared.match) for spec in specs]
        outputs = [(shape, np.dtype(np.float32)) for shape in shapes]
    else:
        outputs = [(result.shape, result.dtype) for result in plan.results]
    inputs = [(array.shape, array.dtype) for array in prepared.arrays]
    layout = _memory.lay_out([*inputs, *outputs])
    direct = plan is not None and not plan.needs_copy
    return Terms(resident, prepared._replace(arrays=[]), layout, len(inputs), direct)


class Place:
    """Memory of one set. It is taken when it is first lent.

    Args:
        terms: of the pool.
    """

    __slots__ = ("_block", "_loan", "entry", "terms")

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._block: _memory.Block | None = None
        self._loan: weakref.ref[_memory.Loan] | None = None
        self.entry: _entries.Entry | None = None

    def lend(self) -> tuple[_memory.Loan, Array]:
        """Return a loan of the memory, and its bytes.

        Raises:
            OutOfMemoryError: if there is none.
            ClosedError: if the device is closed.
        """
        if self._block is None:
            self._block = block = _memory.Block(
                self.terms.resident.device, self.terms.layout.nbytes
            )
            self.entry = self._bind(block.address) if self.terms.direct else None
        loan, root = _memory.lend(self._block)
        self._loan = weakref.ref(loan)
        return loan, root

    def _bind(self, base: int) -> _entries.Entry:
        terms = self.terms
        call = terms.prepared.call()
        return _entries.Entry(
            call.model, terms.plan.records, terms.plan.match.items,
            [base + offset for offset, _, _ in terms.layout.places],
        )  # fmt: skip

    def settle(self) -> None:
        """Take the memory back, or leave it to whoever still holds an array over it."""
        if self._loan is not None and self._loan() is not None:
            self._block = self.entry = None


class Owner(Protocol):
    """Where a lease goes back to."""

    def give_back(self, place: Place) -> None:
        """Take a place that nobody uses any more. Any thread, never blocks."""


class Lease:
    """Inputs and outputs in memory of the device, for one caller at a time.

    Fill ``inputs``, hand the lease itself to ``infer``, ``submit`` or ``try_submit`` of its model,
    and find the results in ``outputs``, as often as you like: nothing is copied, allocated or
    looked up again. From submission until the device has let go of it, also when the request was
    cancelled, touching or submitting it raises BufferInUseError.

    Give it back with ``release``, or use it in ``with`` or ``async with``. What you still hold of
    its arrays stays valid; its memory is then not lent to anybody else.

    Args:
        owner: where it goes back to.
        place: of its memory.
    """

    __slots__ = (
        "__weakref__", "_inputs", "_outputs", "_owner", "_place", "_released", "_root", "entry",
        "held", "job", "loaded", "plan", "raw", "resident", "timed",
    )  # fmt: skip

    def __init__(self, owner: Owner, place: Place) -> None:
        self._released = True  # there is nothing to give back if the next line raises
        loan, root = place.lend()
        terms = place.terms
        arrays = terms.layout.carve(root)
        self._owner, self._place, self._root = owner, place, root
        self.plan, self.entry = terms.plan, place.entry
        self.resident: Resident | None = terms.resident
        self.loaded = terms.prepared.loaded
        #: Whether every request has a deadline, by the model's latency set.
        self.timed = bool(self.loaded.finish_ns)
        #: What the device needs until the completion.
        self.held: object = loan
        self._inputs = arrays[: terms.num_inputs]
        #: The outputs as the device writes them, and as the caller sees them.
        self.raw = arrays[terms.num_inputs :]
        self._outputs = self.plan.show(self.raw) if self.plan.needs_view else self.raw
        #: What uses it now: a job, or a model that carries its segments out.
        self.job: object = None
        self._released = False

    @override
    def __repr__(self) -> str:
        state = "released" if self._released else "in flight" if self.job is not None else "idle"
        return f"<Lease {state}>"

    def __del__(self) -> None:
        if not getattr(self, "_released", True):
            warnings.warn(
                f"{self!r} was never released", ResourceWarning, source=self, stacklevel=1
            )
            self.release()

    # ---- for callers

    @property
    def inputs(self) -> list[Array]:
        """The inputs, in the model's order.

        Raises:
            ClosedError: if the lease was released.
            BufferInUseError: if a request uses it.
        """
        self._check_idle()
        return list(self._inputs)

    @property
    def outputs(self) -> list[Array]:
        """The outputs, in the model's order: of the request that ended last.

        Raises:
            ClosedError: if the lease was released.
            BufferInUseError: if a request uses it.
        """
        self._check_idle()
        return list(self._outputs)

    @property
    def in_flight(self) -> bool:
        """Whether a request uses it, or a cancelled one that the device has not let go of."""
        return self.job is not None

    def release(self) -> None:
        """Give it back; if it is in flight, it is lent again when the device has let go of it.

        Raises:
            ClosedError: if it was released before.
        """
        if self._released:
            raise ClosedError("the lease was released before")
        self._released = True
        if self.job is None:
            self._return()

    def _leave(self) -> None:
        if not self._released:
            self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    # ---- for models and ports

    def check(self, resident: Resident | None) -> None:
        """Make sure that it may be submitted to a model.

        Raises:
            ClosedError: if it was released.
            BufferInUseError: if a request uses it.
            InvalidError: if it belongs to another model.
        """
        if self.job is not None or self._released:
            self._check_idle()
        if self.resident is not resident:
            raise InvalidError("the lease belongs to another model: take one of its own buffers()")

    def _check_idle(self) -> None:
        if self._released:
            raise ClosedError("the lease was released: take another one from its pool")
        if self.job is not None:
            raise BufferInUseError("the lease is in flight: wait until the device has let go of it")

    def prepared(self, options: _entries.Options) -> Prepared:
        """Return the call for a model that cannot take the entry as it is.

        Args:
            options: of the request; the flags are not used.
        """
        deadline_ns, priority, _ = options
        return self._place.terms.prepared._replace(
            arrays=list(self._inputs), out=list(self.raw), deadline_ns=deadline_ns,
            priority=priority,
        )  # fmt: skip

    def occupy(self, job: object) -> None:
        """Note that a request uses it, which claims the outputs by itself.

        Raises:
            ClosedError: if it was released.
            BufferInUseError: if another request uses it.
        """
        if self.job is not None or self._released:  # since it was checked
            self._check_idle()
        self.job = job

    def take_off(self, job: BaseJob) -> None:
        """Note that a request is about to use it.

        Raises:
            ClosedError: if it was released.
            BufferInUseError: if the device may still write its memory for another request.
        """
        if self.job is not None or self._released:  # since it was checked
            self._check_idle()
        _guard.hold(id(self), self._root)
        self.job = job

    def land(self) -> None:
        """Note that the device has let go of it. Called by the port, once for each request."""
        self.job = None
        _guard.drop(id(self))
        if self._released:
            self._return()

    def _return(self) -> None:
        place = self._place
        del self._root, self.entry, self.held
        self.resident = None  # it fits no model any more
        self._inputs = self._outputs = self.raw = []
        place.settle()
        self._owner.give_back(place)


def shapes_of(shape: object, prepared_inputs: Sequence[Any]) -> list[Any]:
    """Return one shape for each input.

    Args:
        shape: None, one shape for a model of one input, or a list of one for each.
        prepared_inputs: the inputs of the model's first variant.

    Raises:
        InvalidError: if their number is another.
    """
    if shape is None:
        return [spec.shape for spec in prepared_inputs]
    several = isinstance(shape, list | tuple) and any(isinstance(s, list | tuple) for s in shape)
    shapes = list(shape) if several else [shape]  # type: ignore[call-overload]
    if len(shapes) != len(prepared_inputs):
        raise InvalidError(
            f"the model has {len(prepared_inputs)} inputs, but {len(shapes)} shapes were given"
        )
    return shapes
