"""The classic trace: one for the process, an array of Chrome's trace events."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from maccel_aio._core import _observe
from maccel_aio._core._trace import Trace, to_events

if TYPE_CHECKING:
    from collections.abc import Iterator

_lock = threading.Lock()
_active: _Recording | None = None


class _Recording(Trace):
    """A trace, and what happened without a device."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._steps: list[dict[str, Any]] = []

    def step(self, name: str, phase: str) -> None:
        """Record that something begins ("B") or ends ("E")."""
        here = {"pid": os.getpid(), "tid": threading.get_native_id()}
        now = time.monotonic_ns() // 1000
        self._steps.append({"name": name, "cat": "", "ph": phase, **here, "ts": now})

    def finish(self) -> None:
        """Write the file: an array with one event a line."""
        with self._lock:
            events = [*self._steps, *to_events(self._requests, self._segments)]
        lines = ",\n".join(json.dumps(event, separators=(",", ":")) for event in events)
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(f"[\n{lines}\n]\n")


def start(path: object) -> bool:
    """Begin a trace; the file is made at once and filled at the end.

    Args:
        path: of the JSON file; overwritten.

    Returns:
        False if the file cannot be made, or a trace is being recorded already.
    """
    global _active
    if not isinstance(path, str | bytes):
        return False
    with _lock:
        if _active is not None:
            return False
        name = os.fsdecode(path)
        try:
            open(name, "w", encoding="utf-8").close()
        except (OSError, ValueError):
            return False
        _active = _Recording(name)
        _observe.watch_all(_active, on=True)
    return True


def stop() -> None:
    """End the trace, if there is one, and write its file."""
    global _active
    with _lock:
        recording, _active = _active, None
        if recording is None:
            return
        _observe.watch_all(recording, on=False)
        recording.finish()


@contextlib.contextmanager
def span(name: str) -> Iterator[None]:
    """Record that the block begins and ends, also by an exception."""
    recording = _active
    if recording is not None:
        recording.step(name, "B")
    try:
        yield
    finally:
        if recording is not None:
            recording.step(name, "E")


atexit.register(stop)
