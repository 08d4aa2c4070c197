"""Who watches requests: hooks of a model, and traces of everything. No watcher, no cost.

A port asks its tuple of watchers once a request; while it is empty that is all there is to it.
"""

from __future__ import annotations

import logging
import threading
import weakref
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from maccel_aio._core import _binding
from maccel_aio._core._types import JobState, Timing

if TYPE_CHECKING:
    from maccel_aio._core._job import BaseJob
    from maccel_aio._core._port import Port
    from maccel_aio.errors import MaccelError

logger = logging.getLogger("maccel_aio")

#: Why something was turned away: no credit and the line full, or a stream's overflow policy.
DropReason = Literal["queue_full", "overflow"]


class JobView(NamedTuple):
    """What a hook may know of a request: a snapshot."""

    #: The model's file, as it was given.
    model: str
    #: The device's name.
    device: str
    #: Tells the requests of one loop apart while they live.
    id: int
    #: What the caller put on the job, or None.
    tag: object
    state: JobState
    #: Items of the request.
    items: int
    #: Zeros before it is done, and for requests that never reached the device.
    timing: Timing
    #: Why it failed, or None.
    error: MaccelError | None


class Hooks(Protocol):
    """What a model tells about its requests. Called in the loop: short, and never blocking.

    A hook that raises is contained, and logged once. Every ``on_admit`` is followed by exactly one
    ``on_done`` with what it returned.
    """

    def on_admit(self, job: JobView) -> object:
        """A request was submitted; the result is handed to ``on_done``."""

    def on_done(self, job: JobView, token: object) -> None:
        """A request is over: done, failed or cancelled, and the device has let go of it."""

    def on_drop(self, reason: DropReason, n: int) -> None:
        """So many requests were turned away."""


class Watcher(Protocol):
    """What a port calls."""

    def admitted(self, port: Port, job: BaseJob) -> None:
        """A request was submitted."""

    def settled(self, port: Port, job: BaseJob, status: int) -> None:
        """A request is over."""

    def dropped(self, reason: DropReason, n: int) -> None:
        """Requests were turned away."""


class Tracer(Watcher, Protocol):
    """What watches everything."""

    def segment(self, name: str, began: int, ended: int) -> None:
        """A CPU segment ran in this thread: CLOCK_MONOTONIC nanoseconds. Any thread."""


def view(port: Port, job: BaseJob) -> JobView:
    """Return what a hook may know of a job."""
    plan = job._plan  # noqa: SLF001 - one mechanism
    failed = job.state is JobState.FAILED
    return JobView(
        model=port.label,
        device=port.device_name,
        id=id(job),
        tag=job.tag,
        state=job.state,
        items=1 if plan is None else plan.match.items,
        timing=job.timing,
        error=job.error() if failed else None,
    )


class HookWatcher:
    """Carries what ports say to the hooks of a user. Requests inside of requests are left out.

    Args:
        hooks: whose calls may raise.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._tokens: dict[int, object] = {}
        self._complained = False

    def admitted(self, port: Port, job: BaseJob) -> None:
        """Tell of a submission and keep the token."""
        if not port.inner:
            token: object = None
            try:
                token = self._hooks.on_admit(view(port, job))
            except Exception:  # noqa: BLE001 - logged; a request is none of a hook's business
                self._complain("on_admit")
            self._tokens[id(job)] = token

    def settled(self, port: Port, job: BaseJob, status: int) -> None:
        """Tell of an end."""
        del status
        if not port.inner and id(job) in self._tokens:
            token = self._tokens.pop(id(job))
            try:
                self._hooks.on_done(view(port, job), token)
            except Exception:  # noqa: BLE001 - as above
                self._complain("on_done")

    def dropped(self, reason: DropReason, n: int) -> None:
        """Tell of what was turned away."""
        try:
            self._hooks.on_drop(reason, n)
        except Exception:  # noqa: BLE001 - as above
            self._complain("on_drop")

    def _complain(self, name: str) -> None:
        if not self._complained:
            self._complained = True
            logger.exception("%s of %r failed; later failures are not logged", name, self._hooks)


# ---- everybody in the process

_lock = threading.Lock()
_ports: weakref.WeakSet[Port] = weakref.WeakSet()
_traces: tuple[Tracer, ...] = ()


def attach(port: Port, label: str, hooks: Watcher | None) -> None:
    """Let a new port be watched by its model's hooks and by the traces that run."""
    with _lock:
        port.label = label
        port.own_watchers = () if hooks is None else (hooks,)
        port.watchers = port.own_watchers + _traces
        _ports.add(port)


def watch_all(watcher: Tracer, on: bool) -> None:
    """Let a trace watch every port, or no longer."""
    global _traces
    with _lock:
        others = tuple(one for one in _traces if one is not watcher)
        _traces = (*others, watcher) if on else others
        for port in list(_ports):
            port.watchers = port.own_watchers + _traces


def tracing() -> tuple[Tracer, ...]:
    """Return the traces that run."""
    return _traces


def outcome(status: int) -> str:
    """Return how a request ended, in one word."""
    if status == _binding.OK:
        return "ok"
    if status == _binding.CANCELED:
        return "cancelled"
    return "expired" if status == _binding.DEADLINE else "failed"
