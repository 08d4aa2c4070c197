"""Traces: what every request of the process did, as a file that Perfetto and Chrome show.

The format is Chrome's "Trace Event Format": complete events ("X") on one row for each core that
was busy and for each thread that ran a CPU segment, and asynchronous pairs ("b", "e") for the time
in the queue and for loop lag. Of a model of several segments every one has an event: with several
requests in flight those of different requests overlap. Times are microseconds of CLOCK_MONOTONIC.
"""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import anyio.to_thread

from maccel_aio._core import _observe
from maccel_aio._typing import override
from maccel_aio.errors import InvalidError

if TYPE_CHECKING:
    from types import TracebackType

    from maccel_aio._core._job import BaseJob
    from maccel_aio._core._observe import DropReason
    from maccel_aio._core._port import Port

_Event = dict[str, Any]


class _Request(NamedTuple):
    device: str
    model: str
    #: Of a model of several, else "".
    segment: str
    items: int
    outcome: str
    submitted: int
    started: int
    done: int
    reaped: int


class _Segment(NamedTuple):
    thread: int
    name: str
    began: int
    ended: int


class Trace:
    """Records every request while it is entered, and writes the file when it is left.

    Use it in ``with``, or in ``async with``: then the file is written in a worker thread. Requests
    that end later are not in it. It costs nothing outside of the block.

    Args:
        path: of the JSON file; overwritten.
        max_events: records that are kept; what comes later is counted and left out.

    Raises:
        InvalidError: if max_events is below 1.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_events: int = 1_000_000) -> None:
        if max_events < 1:
            raise InvalidError(f"max_events must be at least 1, got {max_events}")
        self.path = os.fspath(path)
        self._most = max_events
        self._lock = threading.Lock()
        self._requests: list[_Request] = []
        self._segments: list[_Segment] = []
        self._left_out = 0

    @override
    def __repr__(self) -> str:
        return f"<Trace {self.path!r} [{len(self._requests)} requests, {self._left_out} left out]>"

    # ---- what is watched

    def admitted(self, port: Port, job: BaseJob) -> None:
        """Nothing: the end of a request tells everything."""

    def settled(self, port: Port, job: BaseJob, status: int) -> None:
        """Record a request that was on a device. Any thread."""
        timing = job.timing
        if not timing.t_submit:  # the requests inside of it were
            return
        plan = job._plan  # noqa: SLF001 - one mechanism
        items = 1 if plan is None else plan.match.items
        name, part = os.path.basename(port.label), "" if plan is None else plan.part
        self._keep(
            self._requests,
            _Request(port.device_name, name, part, items, _observe.outcome(status), *timing),
        )

    def dropped(self, reason: DropReason, n: int) -> None:
        """Nothing: it never took any time."""

    def segment(self, name: str, began: int, ended: int) -> None:
        """Record a CPU segment that ran in this thread."""
        self._keep(self._segments, _Segment(threading.get_native_id(), name, began, ended))

    def _keep(self, records: list[Any], record: object) -> None:
        with self._lock:
            if len(self._requests) + len(self._segments) < self._most:
                records.append(record)
            else:
                self._left_out += 1

    # ---- life

    def __enter__(self) -> Self:
        """Begin."""
        _observe.watch_all(self, on=True)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End, and write the file."""
        _observe.watch_all(self, on=False)
        self.write()

    async def __aenter__(self) -> Self:
        """Begin."""
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End, and write the file in a worker thread."""
        _observe.watch_all(self, on=False)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.write)

    # ---- the file

    def write(self) -> None:
        """Write what was recorded so far. Blocks.

        Raises:
            OSError: if it cannot be written.
        """
        with self._lock:
            events = to_events(self._requests, self._segments)
        document = {
            "traceEvents": events,
            "displayTimeUnit": "ms",
            "otherData": {"clock": "CLOCK_MONOTONIC", "left_out": self._left_out},
        }
        with open(self.path, "w", encoding="utf-8") as file:
            json.dump(document, file, separators=(",", ":"))


def trace(path: str | os.PathLike[str], *, max_events: int = 1_000_000) -> Trace:
    """Record every request of the process: ``with`` or ``async with`` the result.

    Args:
        path: of the JSON file for Perfetto or ``chrome://tracing``; overwritten.
        max_events: records that are kept; what comes later is counted and left out.

    Raises:
        InvalidError: if max_events is below 1.
    """
    return Trace(path, max_events=max_events)


def to_events(requests: list[_Request], segments: list[_Segment]) -> list[_Event]:
    """Return the events of a trace, in order of time after the names of the rows."""
    names: list[_Event] = []
    events: list[_Event] = []
    devices = sorted({request.device for request in requests})
    for pid, device in enumerate(devices, 1):
        names.append(_name("process_name", pid, 0, device))
        own = [request for request in requests if request.device == device]
        events += _device_events(pid, own, names)
    if segments:
        pid = os.getpid()
        names.append(_name("process_name", pid, 0, "CPU segments"))
        threads = sorted({segment.thread for segment in segments})
        names += [_name("thread_name", pid, thread, f"thread {thread}") for thread in threads]
        events += [
            _complete(one.name, "cpu", pid, one.thread, one.began, one.ended, {})
            for one in segments
        ]
    return names + sorted(events, key=lambda event: float(event["ts"]))


def _device_events(pid: int, requests: list[_Request], names: list[_Event]) -> list[_Event]:
    events: list[_Event] = []
    free_at: list[int] = []  # of each row: requests that overlap ran on different cores
    for number, one in enumerate(sorted(requests, key=lambda request: request.started)):
        if one.started:
            row = next((k for k, until in enumerate(free_at) if until <= one.started), len(free_at))
            if row == len(free_at):
                free_at.append(0)
                names.append(_name("thread_name", pid, row + 1, f"core in use {row + 1}"))
            free_at[row] = one.done
            details = {"items": one.items, "outcome": one.outcome, "segment": one.segment}
            name = f"{one.model} {one.segment}".rstrip()
            events.append(_complete(name, "npu", pid, row + 1, one.started, one.done, details))
        left_queue = one.started or one.done
        events += _pair("queue", pid, number, one.submitted, left_queue)
        events += _pair("loop lag", pid, number, one.done, one.reaped)
    return events


def _name(kind: str, pid: int, tid: int, name: str) -> _Event:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "ts": 0, "args": {"name": name}}


def _complete(
    name: str, category: str, pid: int, tid: int, began: int, ended: int, details: dict[str, Any]
) -> _Event:
    return {
        "ph": "X", "name": name, "cat": category, "pid": pid, "tid": tid, "ts": began / 1e3,
        "dur": max(ended - began, 0) / 1e3, "args": details,
    }  # fmt: skip


def _pair(name: str, pid: int, number: int, began: int, ended: int) -> list[_Event]:
    common = {"name": name, "cat": name, "id": f"{pid}.{number}", "pid": pid, "tid": 0}
    return [
        {**common, "ph": "b", "ts": began / 1e3},
        {**common, "ph": "e", "ts": max(ended, began) / 1e3},
    ]
