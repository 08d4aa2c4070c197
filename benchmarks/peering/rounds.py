"""Rounds in which all contestants take turns, so that a change of the machine meets them all."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

_PAUSE_S = 0.03
"""Threads of peers go on spinning for a while after a call; the next contestant waits that long."""

_LEAST_CALLS = 3


class Spread(NamedTuple):
    """Median and range of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


def median_seconds(call: Callable[[], object], seconds: float) -> float:
    """Return the median time of one call, calling it again and again for `seconds`."""
    call()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < _LEAST_CALLS or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def interleaved(
    contestants: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, list[float]]:
    """Return what every contestant gave in every round; one round more, before, warms up.

    Every second round runs backwards, so that nobody always follows the same neighbour.
    """
    found: dict[str, list[float]] = {name: [] for name in contestants}
    order = list(contestants)
    for number in range(rounds + 1):
        for name in order:
            value = contestants[name]()
            if number:
                found[name].append(value)
            time.sleep(_PAUSE_S)
        order.reverse()
    return found
