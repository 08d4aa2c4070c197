"""How leases run in event loops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maccel_aio._core import _limits
from maccel_aio._core._base_model import checked_priority
from maccel_aio._core._buffer_pool import BufferPool
from maccel_aio._core._entries import PLAIN
from maccel_aio._core._lease import shapes_of, terms_of
from maccel_aio._core._loop_caches import LoopCaches
from maccel_aio.errors import InvalidError, QueueFullError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import DTypeLike

    from maccel_aio._core._async_job import Job, LoopPort
    from maccel_aio._core._base_model import BaseModel
    from maccel_aio._core._config import ModelConfig
    from maccel_aio._core._entries import Entry, Options
    from maccel_aio._core._lease import Lease, Terms
    from maccel_aio._core._resident import Resident
    from maccel_aio._core._ring import Slot
    from maccel_aio._typing import Array

    #: out, cache_size, params, deadline, priority: as callers gave them.
    Given = tuple[object, int, object, float | None, int]

_DTYPES = (np.dtype(np.float32), np.dtype(np.uint8), np.dtype(np.int8))


class LeaseModel(LoopCaches):
    """A model whose callers may lease memory of the device."""

    def buffers(
        self,
        n: int = 1,
        *,
        shape: Sequence[int] | Sequence[Sequence[int]] | None = None,
        dtype: DTypeLike = np.float32,
        max_waiting: int | None = 1024,
    ) -> BufferPool:
        """Return a pool of sets of inputs and outputs in memory of the device.

        A set is bound to the model once; its requests copy, allocate and look up nothing.

        Args:
            n: how many sets; memory is taken when one is first lent.
            shape: of the input, as ``infer`` takes it: HWC or CHW, with or without a batch; a list
                of shapes for several inputs. Default: as the model was compiled.
            dtype: of the inputs: float32, uint8 or int8.
            max_waiting: most callers that may wait for a set; None for no bound.

        Raises:
            ShapeError: if the shape does not fit the model.
            InvalidError: if the dtype is none of the three, or a bound is not possible.
            ClosedError: if the model is closed, or not launched.
        """
        return BufferPool(terms_for(self, shape, dtype), n, max_waiting)

    # ---- carrying out

    async def infer_lease(self, lease: Lease, given: Given) -> list[Array]:
        """Run the model once over a lease: see ``Model.infer``."""
        job = await self.submit_lease(lease, given)
        if not job.done():
            await self._settle(job._port, job)  # noqa: SLF001 - one mechanism
        return job.result()

    async def submit_lease(self, lease: Lease, given: Given) -> Job:
        """Submit a lease: see ``Model.submit``."""
        options = lease_options(self._config, lease, given)
        if lease.job is not None or lease.resident is not self._resident:
            lease.check(self._resident)
        port = self._port
        if port is None or not port.is_usable():
            port = self.port_here()
        slot = port.take()
        if slot is None:
            slot = await self.credit(port)
        entry = lease.entry
        if entry is None:
            return self._launch(port, slot, lease, options)
        return port.launch(slot, lease, entry, options)  # type: ignore[return-value]  # its job_type

    def try_submit_lease(self, lease: Lease, given: Given) -> Job:
        """Submit a lease at once or not at all: see ``Model.try_submit``.

        Raises:
            QueueFullError: if no credit is free.
            MaccelError: as ``Model.try_submit`` does.
        """
        options = lease_options(self._config, lease, given)
        if lease.job is not None or lease.resident is not self._resident:
            lease.check(self._resident)
        port = self._port
        if port is None or not port.is_usable():
            port = self.port_here()
        slot = port.take()
        if slot is None:
            port.drop()
            raise QueueFullError(f"all {port.limit} credits are in use")
        entry = lease.entry
        if entry is None:
            return self._launch(port, slot, lease, options)
        return port.launch(slot, lease, entry, options)  # type: ignore[return-value]  # its job_type

    def try_submit_all(self, leases: Iterable[Lease]) -> list[Job]:
        """Submit several leases at once, all or none, with one call to the device.

        Cheaper than one after the other: the device is woken up once.

        Args:
            leases: of this model; none in flight, none twice.

        Returns:
            Their jobs, in the same order.

        Raises:
            QueueFullError: if there are fewer free credits than leases.
            BufferInUseError: if one is in flight, or there twice.
            UnsupportedError: if the model has CPU segments, must copy its inputs, or has a latency
                set that gives its requests deadlines.
            MaccelError: as ``try_submit`` does.
        """
        given = entries_of(leases, self._resident)
        return self.port_here().launch_all(given)  # type: ignore[return-value]  # its job_type

    def _launch(self, port: LoopPort, slot: Slot, lease: Lease, options: Options) -> Job:
        """Submit the lease of a model that needs more than its entry."""
        return port.adopt(lease, slot, lambda: self.start(port, slot, lease.prepared(options)))


def entries_of(leases: Iterable[Lease], resident: Resident | None) -> list[tuple[Lease, Entry]]:
    """Return leases that are to be submitted together, and the entry of each.

    Raises:
        BufferInUseError: if one is in flight.
        UnsupportedError: if they must go one by one.
        MaccelError: if one is not of this model, or was released.
    """
    given: list[tuple[Lease, Entry]] = []
    for lease in leases:
        lease.check(resident)
        if lease.entry is None or lease.timed:
            raise UnsupportedError("leases of this model go one by one: use infer() or submit()")
        given.append((lease, lease.entry))
    return given


def terms_for(model: BaseModel, shape: object, dtype: DTypeLike) -> Terms:
    """Work out the sets of a model.

    Raises:
        ShapeError: if the shape does not fit the model.
        InvalidError: if the dtype cannot be an input.
        ClosedError: if the model is closed, or not launched.
        UnsupportedError: if the model keeps state between calls.
    """
    resident = model._here()  # noqa: SLF001 - one mechanism
    if resident.state is not None:
        raise UnsupportedError(
            "a model with a cache takes arrays: its calls have steps of their own"
        )
    element = np.dtype(dtype)
    if element not in _DTYPES:
        raise InvalidError(f"inputs are float32, uint8 or int8, not {element}: convert into them")
    shapes = shapes_of(shape, model.inputs)
    samples = [np.empty(one, element) for one in shapes]
    return terms_of(resident, model.prepare(samples, None, 0, None, None, 0))


def lease_options(config: ModelConfig, lease: Lease, given: Given) -> Options:
    """Return the options of a request.

    Raises:
        InvalidError: if they do not go with a lease.
        DeadlineError: if the deadline is not in the future.
    """
    out, cache_size, params, deadline, priority = given
    plain = out is None and params is None and deadline is None and type(priority) is int
    if plain and not (priority or cache_size or lease.timed):
        return PLAIN  # the usual case, without a question too many
    if out is not None or cache_size or params:
        raise InvalidError("a lease brings its own outputs, and knows no KV cache: leave these out")
    deadline_ns = _limits.absolute(config, deadline)
    return _limits.limit(lease.loaded, deadline_ns), checked_priority(priority), 0
