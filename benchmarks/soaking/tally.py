"""Counts what became of every call, and what nobody may do."""

import collections

from maccel_aio import JobView


class Tally:
    """What happened so far. It is also the hooks of every model: one end for each beginning."""

    def __init__(self) -> None:
        self.calls = 0
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.scenes: collections.Counter[str] = collections.Counter()
        self.problems: collections.Counter[str] = collections.Counter()
        #: Requests that were submitted so far.
        self.submitted = 0
        self._open: set[int] = set()

    def problem(self, what: str) -> None:
        """Note what must not happen."""
        self.problems[what] += 1

    def expect(self, condition: bool, what: str) -> None:
        """Note a problem unless a condition holds."""
        if not condition:
            self.problem(what)

    def on_admit(self, job: JobView) -> object:
        """A request was submitted."""
        del job
        token = self.submitted
        self.submitted += 1
        self._open.add(token)
        return token

    def on_done(self, job: JobView, token: object) -> None:
        """A request is over: once."""
        del job
        if token not in self._open:
            self.problem("a request ended twice")
        self._open.discard(token)

    def on_drop(self, reason: str, n: int) -> None:
        """So many requests were turned away."""
        self.outcomes[f"dropped: {reason}"] += n

    @property
    def unfinished(self) -> int:
        """Requests that were submitted and have not ended."""
        return len(self._open)
