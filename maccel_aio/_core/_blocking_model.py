"""How a model runs in threads: ports, waiting, segments, leases."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from maccel_aio._core import _binding, _guard
from maccel_aio._core._blocking import RING_CREDITS, Job, Tally, ThreadPort, ring_here
from maccel_aio._core._blocking_caches import BlockingCaches
from maccel_aio._core._blocking_leases import BufferPool
from maccel_aio._core._blocking_parts import run_parts
from maccel_aio._core._blocking_stream import BackgroundJob
from maccel_aio._core._express import Forms
from maccel_aio._core._lease_model import entries_of, lease_options, terms_for
from maccel_aio._core._turns import ThreadTurn
from maccel_aio.errors import ClosedError, MaccelError, WaitTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import DTypeLike

    from maccel_aio._core._base_model import Prepared
    from maccel_aio._core._entries import Options
    from maccel_aio._core._express import Form
    from maccel_aio._core._lease import Lease
    from maccel_aio._core._lease_model import Given
    from maccel_aio._core._port import Call
    from maccel_aio._typing import Array


class BlockingModel(BlockingCaches):
    """A model whose requests block the calling thread. Any thread.

    Args:
        *arguments: of the base class.
        **options: likewise.
    """

    _ring_credits = RING_CREDITS

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - as there
        super().__init__(*arguments, **options)
        self._local = threading.local()
        #: Calls that need no conversion. Their thread would only wait: it may be a core meanwhile.
        self.forms = Forms(_binding.HERE)
        #: Counts the requests of a model of several segments.
        self._tally: Tally | None = None

    def buffers(
        self,
        n: int = 1,
        *,
        shape: Sequence[int] | Sequence[Sequence[int]] | None = None,
        dtype: DTypeLike = np.float32,
        max_waiting: int | None = 1024,
    ) -> BufferPool:
        """Return a pool of sets of inputs and outputs in memory of the device.

        Arguments and errors are those of the asynchronous twin.
        """
        return BufferPool(terms_for(self, shape, dtype), n, max_waiting)

    # ---- carrying out

    def _port_here(self) -> ThreadPort:
        port: ThreadPort | None = getattr(self._local, "port", None)
        resident = self._here()
        if port is None:
            port = ThreadPort(ring_here(resident.device), self._credits())
            port.inner = resident.in_parts
            self._local.port = port
            self._add_port(port)
        return port

    def _run(self, call: Call, limit: float | None) -> list[Array]:
        port = self._port_here()
        if limit is None:  # this thread would only wait: it may be a core meanwhile
            call = call._replace(flags=call.flags | _binding.HERE)
        return self._wait_for(port, port.begin(call, limit), limit)

    def _wait_for(self, port: ThreadPort, job: Job, limit: float | None) -> list[Array]:
        try:
            left = None if limit is None else max(limit - time.monotonic(), 0.0)
            in_time = job.wait(left)
        except BaseException:  # also KeyboardInterrupt: nothing may run on unseen
            port.settle_cancelled(job, self.cancel_grace)
            raise
        if not in_time:
            port.settle_cancelled(job, self.cancel_grace)
            raise WaitTimeoutError("no result in time: the request was cancelled")
        return job.result()

    def run_usual(self, form: Form, array: Array) -> list[Array]:
        """Carry out a request of one contiguous input and one output, the short way if it is brief.

        Raises:
            MaccelError: as ``infer`` does.
        """
        port: ThreadPort = self._local.__dict__.get("port") or self._port_here()
        made = port.run_usual(form, array)
        if isinstance(made, list):
            return made
        try:
            made.wait()
        except BaseException:  # also KeyboardInterrupt: nothing may run on unseen
            port.settle_cancelled(made, self.cancel_grace)
            raise
        return made.result()

    def _tally_here(self) -> Tally:
        with self._lock:
            if self._tally is None:
                self._tally = Tally()
                self._ports = [*self._ports, self._tally]
            return self._tally

    def _run_parts(
        self, prepared: Prepared, limit: float | None, turn: ThreadTurn | None
    ) -> list[Array]:
        tally = self._tally_here()
        tally.begin()
        status = _binding.CANCELED
        claim: tuple[int, ...] = ()
        try:
            claim = () if prepared.out is None else _guard.claim(prepared.out)
            outputs = run_parts(self, prepared, self._run, limit, turn)
            status = _binding.OK
        except WaitTimeoutError:
            raise
        except MaccelError as problem:
            status = problem.code
            raise
        finally:
            if turn is not None:
                turn.leave()
            tally.end(status)
            _guard.release(claim)
        return outputs

    def _in_background(
        self, prepared: Prepared, show: Callable[[list[Array]], list[Array]] = list
    ) -> BackgroundJob:
        if prepared.steps is None:
            return BackgroundJob(lambda: show(self._run_parts(prepared, None, None)))
        state = prepared.steps.state
        with state.queueing:  # so that what has its turn first also starts first
            turn = ThreadTurn(state.turns, prepared.steps.slots)
            try:
                return BackgroundJob(
                    lambda: show(self._run_parts(prepared, None, turn)), turn.leave
                )
            except BaseException:  # no thread could be started
                turn.leave()
                raise

    # ---- leases

    def infer_lease(self, lease: Lease, given: Given, limit: float | None) -> list[Array]:
        """Run the model once over a lease: see ``Model.infer``.

        Args:
            lease: of ``buffers``.
            given: what the caller asked for.
            limit: when to give up, monotonic seconds.
        """
        deadline_ns, priority, flags = lease_options(self._config, lease, given)
        lease.check(self._resident)
        if lease.plan.num_io == 0:
            return self._carry_segments(lease, (deadline_ns, priority, flags), limit)
        port = self._port_here()
        if limit is None:  # this thread would only wait: it may be a core meanwhile
            flags = _binding.HERE
        job = port.begin_lease(lease, (deadline_ns, priority, flags), limit)
        return self._wait_for(port, job, limit)

    def submit_lease(self, lease: Lease, given: Given, limit: float | None) -> Job | BackgroundJob:
        """Submit a lease: see ``Model.submit``."""
        options = lease_options(self._config, lease, given)
        lease.check(self._resident)
        if lease.plan.num_io:
            return self._port_here().begin_lease(lease, options, limit)
        lease.occupy(self)  # its outputs are claimed when the segments begin
        prepared = lease.prepared(options)
        try:
            return BackgroundJob(lambda: self._run_parts(prepared, None, None), lease.land)
        except BaseException:  # no thread could be started
            lease.land()
            raise

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
            ClosedError: if the model or the device is closed.
            MaccelError: as ``submit`` does.
        """
        given = entries_of(leases, self._resident)
        port = self._port_here()
        with port.thread_ring.lock:
            if port.thread_ring.disposed:
                raise ClosedError("the device is closed")
            return port.launch_all(given)  # type: ignore[return-value]  # its job_type

    def _carry_segments(self, lease: Lease, options: Options, limit: float | None) -> list[Array]:
        lease.occupy(self)
        try:
            return self._run_parts(lease.prepared(options), limit, None)
        finally:
            lease.land()
