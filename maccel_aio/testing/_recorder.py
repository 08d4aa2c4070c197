"""Hooks that remember what they are told, for assertions."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from maccel_aio._typing import override

if TYPE_CHECKING:
    from maccel_aio._core._observe import DropReason, JobView


class Recorder:
    """Give it to a model as ``hooks=`` and look afterwards at what the program asked of it.

    Attributes:
        admitted: requests at their submission, in order.
        done: requests at their end, in the order of their ends.
        dropped: how many were turned away, by reason.
    """

    def __init__(self) -> None:
        self.admitted: list[JobView] = []
        self.done: list[JobView] = []
        self.dropped: collections.Counter[str] = collections.Counter()

    @override
    def __repr__(self) -> str:
        return f"<Recorder {self.outcomes()} [{self.in_flight} in flight]>"

    @property
    def in_flight(self) -> int:
        """Requests that were admitted and are not over."""
        return len(self.admitted) - len(self.done)

    def outcomes(self) -> dict[str, int]:
        """Return how many requests ended how: "done", "cancelled", or the name of an error."""
        return dict(
            collections.Counter(
                job.state.value if job.error is None else type(job.error).__name__
                for job in self.done
            )
        )

    def clear(self) -> None:
        """Forget everything."""
        self.admitted.clear()
        self.done.clear()
        self.dropped.clear()

    def on_admit(self, job: JobView) -> object:
        """Remember a submission."""
        self.admitted.append(job)
        return None

    def on_done(self, job: JobView, token: object) -> None:
        """Remember an end."""
        del token
        self.done.append(job)

    def on_drop(self, reason: DropReason, n: int) -> None:
        """Count what was turned away."""
        self.dropped[reason] += n
