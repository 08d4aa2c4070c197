"""The counters of a batched model."""

from __future__ import annotations

from maccel_aio._core._types import BatchedStats
from maccel_aio.errors import DeadlineError, MaccelError


class BatchTally:
    """What became of callers, and how large batches were. One event loop.

    Args:
        max_batch: most items of one request; larger ones, of one caller, count as so many.
    """

    def __init__(self, max_batch: int) -> None:
        self.submitted = self.cancelled = self.refused = self.retried = 0
        self._completed = self._failed = self._expired = 0
        self._sizes = [0] * max_batch
        self._wait_sum_ns = self._wait_max_ns = 0

    def board(self, waited_ns: int) -> None:
        """Count a caller that leaves its line."""
        self._wait_sum_ns += waited_ns
        self._wait_max_ns = max(self._wait_max_ns, waited_ns)

    def leave_together(self, items: int) -> None:
        """Count a batch."""
        self._sizes[min(items, len(self._sizes)) - 1] += 1

    def end(self, problem: BaseException | None) -> None:
        """Count how a call ended."""
        if problem is None:
            self._completed += 1
        elif isinstance(problem, DeadlineError):
            self._expired += 1
        elif isinstance(problem, MaccelError):
            self._failed += 1
        else:
            self.cancelled += 1

    def stats(self, waiting: int, in_flight: int) -> BatchedStats:
        """Return a snapshot.

        Args:
            waiting: callers in a line now.
            in_flight: batches on their way now.
        """
        left = self.submitted - waiting
        return BatchedStats(
            submitted=self.submitted,
            completed=self._completed,
            failed=self._failed,
            cancelled=self.cancelled,
            expired=self._expired,
            refused=self.refused,
            retried=self.retried,
            waiting=waiting,
            in_flight=in_flight,
            batches=sum(self._sizes),
            sizes=tuple(self._sizes),
            wait_mean_ns=self._wait_sum_ns / left if left > 0 else 0.0,
            wait_max_ns=self._wait_max_ns,
        )
