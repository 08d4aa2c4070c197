"""A request from submission to result, without any waiting: the faces add that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maccel_aio._core import _binding, _guard
from maccel_aio._core._types import CancelOutcome, JobState, Timing
from maccel_aio._typing import override
from maccel_aio.errors import MaccelError, error_from_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from maccel_aio._core._arrays import Plan
    from maccel_aio._core._lease import Lease
    from maccel_aio._core._port import Port
    from maccel_aio._typing import Array

_SETTLED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class BaseJob:
    """State of one request. Its port's thread changes it; any thread may read it.

    Attributes:
        state: where it is.
        tag: free for the caller.
    """

    __slots__ = (
        "__weakref__", "_claim", "_lease", "_listeners", "_outputs", "_plan", "_port", "_retry",
        "_status", "_then", "_timing", "_user_data", "_waiters", "state", "tag",
    )  # fmt: skip

    def __init__(self, port: Port, plan: Plan | None, outputs: list[Array]) -> None:
        self._port = port
        self._plan = plan
        self._outputs: list[Array] | None = outputs
        self._user_data = 0
        self._status = 0
        self._claim: tuple[int, ...] = ()
        #: Of whose memory it makes use.
        self._lease: Lease | None = None
        self._timing: tuple[int, int, int, int] = (0, 0, 0, 0)
        self._waiters: list[Any] = []
        self._listeners: list[Callable[[Any], None]] | None = None
        #: Called instead of failing when the device is lost: moves it to another one, once.
        self._retry: Callable[[Any], None] | None = None
        #: Called when the device has let go of it.
        self._then: Callable[[], None] | None = None
        self.state = JobState.QUEUED
        self.tag: object = None

    @override
    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._user_data:#x} {self.state.value}>"

    @property
    def timing(self) -> Timing:
        """When it passed its stations, CLOCK_MONOTONIC nanoseconds; zeros until it is done."""
        return Timing(*self._timing)

    def done(self) -> bool:
        """Return whether its result, or error, is decided."""
        state = self.state
        return state in _SETTLED or (state is JobState.ABANDONED and not self._owes())

    def _owes(self) -> bool:
        """Return whether the device writes memory of the caller."""
        return bool(self._claim) or self._lease is not None

    def _release(self) -> None:
        """Give the caller's arrays back, once: another claim may have the same name afterwards."""
        claim, self._claim = self._claim, ()
        _guard.release(claim)

    def land(self) -> None:
        """Give a lease back to its holder: the device has let go of its memory."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.land()

    def result(self) -> list[Array]:
        """Return the outputs, in the model's order.

        Raises:
            InvalidError: if it is not done.
            CancelledRequestError: if it was cancelled.
            DeadlineError: if its deadline passed before a core took it.
            InferenceError: if the device failed it.
            DeviceLostError: if the device was lost.
            ClosedError: if the model was closed.
        """
        if self.state is JobState.DONE and self._outputs is not None:
            return self._outputs
        if not self.done():
            raise error_from_status(-1, f"the result of {self!r} is not there yet")
        raise self.error()

    def error(self) -> MaccelError:
        """Return the error of a job that failed or was cancelled."""
        if self.state is JobState.FAILED:
            return error_from_status(self._status, _binding.status_text(self._status))
        if self._status == _binding.CLOSED:
            return error_from_status(_binding.CLOSED, "the model was closed")
        return error_from_status(_binding.CANCELED, "the request was cancelled")

    def cancel(self) -> CancelOutcome:
        """Take it back if it has not begun; discard its result if it has.

        Returns:
            REMOVED: it will not run. ABANDONED: it runs, its result is discarded, and its memory
            stays owned until it completes. DONE: it was decided.
        """
        if self.state is JobState.ABANDONED:
            return CancelOutcome.ABANDONED
        if self.state is not JobState.QUEUED:
            return CancelOutcome.DONE
        if self._user_data == 0:  # on its way from one device to another
            self.state = JobState.CANCELLED
            self._release()
            self._port.wake(self)
            return CancelOutcome.REMOVED
        return self._withdrawn(self._port.ring.cancel(self._user_data))

    def _withdrawn(self, status: int) -> CancelOutcome:
        """Take the device's answer. Up to the new state there is no call, so no other thread."""
        if self.state is not JobState.QUEUED:  # its thread has taken the completion meanwhile
            return CancelOutcome.REMOVED if status == _binding.OK else CancelOutcome.DONE
        if status == _binding.OK:
            self.state = JobState.CANCELLED
            self._release()  # no core has seen it, and none will
            self.land()
            self._port.wake(self)
            return CancelOutcome.REMOVED
        if status == _binding.ALREADY:
            self.state = JobState.ABANDONED
            self._port.abandoned += 1
            if not self._owes():
                self._port.wake(self)
            return CancelOutcome.ABANDONED
        return CancelOutcome.DONE

    def settle(self, status: int, timing: tuple[int, int, int, int]) -> None:
        """Take the completion: called exactly once, by the ring, in the port's thread."""
        self._timing = timing
        port = self._port
        state = self.state
        if self._retry is not None and status == _binding.DEVICE_LOST and state is JobState.QUEUED:
            self._move(status)
            return
        if self._claim:
            self._release()
        if state is JobState.QUEUED:
            if status == _binding.OK:
                self.state = JobState.DONE
                if self._plan is not None and self._plan.needs_view:
                    self._outputs = self._plan.show(self._outputs or [])
            else:
                cancelled = status == _binding.CANCELED
                self.state = JobState.CANCELLED if cancelled else JobState.FAILED
                # Nobody but closing cancels behind the back of a job.
                self._status = _binding.CLOSED if cancelled and port.closed else status
                self._outputs = None
        elif state is JobState.ABANDONED:
            port.abandoned -= 1
            self.state = JobState.CANCELLED
            self._outputs = None
        port.settled(self, status)
        if self._then is not None:
            self._then()

    def _move(self, status: int) -> None:
        """Leave a device that is lost for another one; nobody gets the arrays meanwhile."""
        retry, self._retry = self._retry, None
        self._user_data = 0
        self.state, self._status = JobState.FAILED, status  # as the lost device's port counts it
        self._port.lose(self, status)
        self.state, self._status = JobState.QUEUED, 0
        if retry is not None:
            retry(self)

    def rebind(self, port: Port, plan: Plan, outputs: list[Array]) -> None:
        """Become a request of another port."""
        self._port, self._plan, self._outputs = port, plan, outputs

    def fail(self, status: int) -> None:
        """Decide a job that no device has: it found no other one."""
        if self.state is JobState.QUEUED:
            self.state, self._status, self._outputs = JobState.FAILED, status, None
            self._release()
            self._port.wake(self)

    def orphan(self) -> None:
        """Decide it without its completion: its ring closes and it still runs."""
        if self.state in _SETTLED:
            return
        if self.state is JobState.ABANDONED:
            self._port.abandoned -= 1
        self.state, self._status = JobState.FAILED, _binding.CLOSED
        for watcher in self._port.watchers:
            watcher.settled(self._port, self, _binding.CLOSED)
        self._port.wake(self)
