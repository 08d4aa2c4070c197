"""One model on one device of a pool: how much it has to do, and how well it is."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

from maccel_aio.errors import DeviceLostError, InferenceError

if TYPE_CHECKING:
    from maccel_aio._core._model import Model
    from maccel_aio._core._types import ModelStats

#: After so many failures in a row a device rests for so long, unless no other is left.
PATIENCE = 3
REST_S = 1.0

Health = Literal["ok", "resting", "lost"]


class ReplicaStats(NamedTuple):
    """A snapshot of one replica of a pooled model."""

    #: The device's name.
    device: str
    #: "resting": it failed several requests in a row. "lost": it gets no more requests.
    health: Health
    #: Requests that the pool has given it and that are not over.
    load: int
    #: Requests that the pool has given it so far.
    submitted: int
    model: ModelStats


class PoolStats(NamedTuple):
    """A snapshot of a pooled model."""

    replicas: tuple[ReplicaStats, ...]
    #: Requests that ran on another device because theirs was lost.
    retried: int


class Replica:
    """A model of a pool, and what the pool knows of its device. Any thread.

    Args:
        device: name of the device.
        model: launched there.
    """

    def __init__(self, device: str, model: Model) -> None:
        self.device, self.model = device, model
        self.load = self.submitted = 0
        self.lost = False
        self._failures = 0
        self._rests_until = 0.0
        self._lock = threading.Lock()

    def is_resting(self) -> bool:
        """Return whether others should be preferred."""
        return time.monotonic() < self._rests_until

    def begin(self) -> None:
        """A request is given to it."""
        with self._lock:
            self.load += 1
            self.submitted += 1

    def end(self, problem: BaseException | None) -> None:
        """A request is over: learn from how it ended."""
        with self._lock:
            self.load -= 1
            if isinstance(problem, DeviceLostError):
                self.lost = True
            elif isinstance(problem, InferenceError):
                self._failures += 1
                if self._failures >= PATIENCE:
                    self._rests_until = time.monotonic() + REST_S
            elif problem is None:
                self._failures = 0

    def stats(self) -> ReplicaStats:
        """Return a snapshot."""
        health: Health = "lost" if self.lost else "resting" if self.is_resting() else "ok"
        return ReplicaStats(self.device, health, self.load, self.submitted, self.model.stats())
