"""Which tensors have to leave 8 bits for a wanted accuracy: the search.

First what every tensor alone costs is measured (`sense`). Ranges that serve better for nothing come
first; then the tensors that buy most for their price go up a rung, until the program, measured as a
whole, is good enough; then everything that turns out not to be needed goes back down. The samples
that judge are not those that set the ranges, where there are enough.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import CompileError
from maccel_aio.compiler.ladder import Ladder, State
from maccel_aio.compiler.pace import Pace
from maccel_aio.compiler.sense import Sensed, sense
from maccel_aio.compiler.target import AccuracyTarget, SearchReport
from maccel_aio.compiler.trial import Trials, noise
from maccel_aio.compiler.units import (
    FLOAT,
    Choice,
    Rung,
    find_sums,
    find_units,
    wished,
    work_outside,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from maccel_aio.compiler.ir import Graph
    from maccel_aio.compiler.numeric import Observed
    from maccel_aio.compiler.partition import Segment
    from maccel_aio.compiler.precision import OnNpu
    from maccel_aio.compiler.quantize import QuantizeOptions
    from maccel_aio.compiler.sense import Power
    from maccel_aio.compiler.trial import Answers

    Progress = Callable[[int, int], None]

__all__ = ["AccuracyTarget", "Search", "SearchReport", "search"]

_SENSED = 3
"""Samples that tell what one tensor costs."""

_PRUNED = 80
"""Trials for taking back at the end."""

_USEFUL = 1e-3
"""What lacks to the target, in its unit, has to fall by so much for a change to count."""

_TRIED = 8
"""Changes that are measured one by one where predictions fail."""

_ENOUGH = 16
"""From so many samples on a quarter judges and does not set ranges."""

_JUDGES = 8


class Search:
    """One search. Used by one thread.

    Args:
        trials: builds and runs programs.
        target: what to reach.
        on_npu: whether a node runs on the device.
        progress: called with the trials done and, as far as that is known, in all.
    """

    def __init__(
        self,
        trials: Trials,
        target: AccuracyTarget,
        on_npu: OnNpu,
        progress: Progress | None = None,
    ) -> None:
        self.trials = trials
        self.target = target
        self.on_npu = on_npu
        self.progress = progress
        precision = trials.options.precision
        self.units = find_units(trials.graph, on_npu, precision)
        self.sums = find_sums(trials.graph, on_npu, precision)
        self.pace = Pace(trials, on_npu, target) if target.has_budget else None
        self.done = 0

    def run(self) -> tuple[Choice, SearchReport]:
        """Return the rungs of the units that are to change, and the report."""
        if self.pace is not None:
            self.pace.learn(self.units, self.sums)
        state, sensed = self._judge({}), Sensed()
        if state.lack > 0.0:
            sensed = sense(self.units, self._sense)
            state = self._found(state, Ladder(self.units, sensed, self.target, self.pace))
        in_time = self.pace is None or self.pace.holds(state.choice)
        return state.choice, self._report(state, sensed, in_time)

    def _found(self, state: State, ladder: Ladder) -> State:
        state = self._climb(self._narrowed(state, ladder), ladder)
        if state.lack > 0.0:
            state = self._climb(self._prune(state, ladder), ladder)
            state = self._floated(state, ladder)
        return self._in_time(self._prune(state, ladder), ladder)

    def _narrowed(self, state: State, ladder: Ladder) -> State:
        """Take the ranges that serve better here too, the most promising first."""
        sensed = ladder.sensed
        for unit in sorted(sensed.gains, key=lambda u: (-sensed.gains[u], u.name)):
            tried = self._judge(state.choice | {unit: Rung(keep=sensed.keep[unit])})
            if tried.lack < state.lack - _USEFUL:
                state = tried
        return state

    def _climb(self, state: State, ladder: Ladder) -> State:
        """Go up rungs until the target is reached or nothing more may change; return the best.

        Errors of several tensors may cancel, and what follows from each alone is wrong then: the
        most promising changes are measured one by one, and where even those do no good alone the
        predicted ones are taken together, for what makes up for them is still to come.
        """
        best = state
        while state.lack > 0.0:
            more = ladder.choose(state)
            if more is None:
                break
            tried = self._judge(more)
            if tried.lack >= state.lack - _USEFUL:
                tried = self._best_single(state, ladder) or tried
            state = tried
            best = min(best, state, key=lambda one: one.lack)
        return best

    def _best_single(self, state: State, ladder: Ladder) -> State | None:
        """Measure the most promising changes one by one; return the best bargain that helps."""
        moves = sorted(ladder.ranked(state), key=lambda m: (-m.worth, m.unit.name, m.rung))
        best: tuple[float, State] | None = None
        for move in moves[:_TRIED]:
            tried = self._judge(state.choice | {move.unit: move.rung})
            worth = (state.lack - tried.lack) / move.price
            if tried.lack < state.lack - _USEFUL and (best is None or worth > best[0]):
                best = worth, tried
        return None if best is None else best[1]

    def _floated(self, state: State, ladder: Ladder) -> State:
        """Try float for all that has 16 bits, where 16 bits do not reach the target."""
        wide = {unit: FLOAT for unit, rung in state.choice.items() if rung.wide}
        floats = state.choice | wide | dict.fromkeys(self.sums, FLOAT)
        if state.lack <= 0.0 or floats == state.choice or not ladder.fits_time(floats):
            return state
        tried = self._judge(floats)
        return tried if tried.lack < state.lack - _USEFUL else state

    def _prune(self, state: State, ladder: Ladder) -> State:
        """Take back what turns out not to be needed, the worst bargains first."""
        most, left = max(0.0, state.lack + _USEFUL), _PRUNED
        for unit in ladder.bargains(state):
            while left:
                fewer = ladder.lowered(state.choice, unit)
                if fewer is None:
                    break
                left -= 1
                tried = self._judge(fewer)
                if tried.lack > most:
                    break
                state = tried
        return state

    def _in_time(self, state: State, ladder: Ladder) -> State:
        """Give up the worst bargains until the program, timed, is within the budget."""
        if self.pace is None:
            return state
        units = iter(ladder.bargains(state))
        while not self.pace.holds(state.choice):
            unit = next(units, None)
            if unit is None:
                break
            plain = unit.start if unit.start.wide else Rung(keep=ladder.sensed.keep[unit])
            state = self._judge(state.choice | {unit: plain})
        return state

    def _answers(self, choice: Choice, count: int) -> Answers:
        precision = wished(self.trials.options.precision, choice)
        found = self.trials.answers(precision, count, self.on_npu)
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, max(self.done, 2 * len(self.units) + 80))
        return found

    def _sense(self, choice: Choice) -> Power:
        exact = self.trials.exact[:_SENSED]
        return noise(exact, self._answers(choice, len(exact)))

    def _judge(self, choice: Choice) -> State:
        """Build and run the program of a choice."""
        choice = {unit: rung for unit, rung in choice.items() if rung != unit.start}
        exact = self.trials.exact
        found = self._answers(choice, len(exact))
        power = noise(exact, found)
        if self.target.metric is not None:
            value = float(self.target.metric(exact, found))
            return State(choice, power, value, self.target.least - value)
        value = float(_decibel(power).min())
        lack = float(np.maximum(self.target.least - _decibel(power), 0.0).sum())
        return State(choice, power, value, lack)

    def _report(self, state: State, sensed: Sensed, in_time: bool) -> SearchReport:
        choice, costs = state.choice, sensed.costs()
        dearest = sorted(choice, key=lambda unit: -unit.price(choice[unit]))
        eight = [unit for unit in dearest if not choice[unit].wide]
        words = [unit for unit in eight if choice[unit].weight_bits > Rung().weight_bits]
        return SearchReport(
            state.lack <= 0.0,
            state.value,
            tuple(float(x) for x in _decibel(state.power)),
            work_outside(choice),
            tuple(unit.name for unit in dearest if choice[unit].wide),
            {unit.name: cost for unit, cost in costs.items()},
            self.done,
            floats=tuple(unit.name for unit in dearest if choice[unit] == FLOAT),
            wide_weights=tuple(name for unit in words for name in unit.layers),
            narrowed={unit.name: choice[unit].keep for unit in eight if choice[unit].keep != 1.0},
            readers={unit.name: unit.layers for unit in costs},
            slower=None if self.pace is None else self.pace.found,
            in_time=in_time,
        )


def search(
    graph: Graph,
    segments: Sequence[Segment],
    observed: Observed,
    options: QuantizeOptions,
    target: AccuracyTarget,
    *,
    on_npu: OnNpu,
    progress: Progress | None = None,
) -> tuple[QuantizeOptions, SearchReport]:
    """Return the options with the formats that reach the target, and how that was found.

    Args:
        graph: after the passes and calibration, without formats; not changed.
        segments: of the graph.
        observed: of `numeric.observe_graph`.
        options: to start from.
        target: what to reach.
        on_npu: whether a node runs on the device.
        progress: called with the programs tried and about how many there will be.

    Raises:
        CompileError: there are no calibration samples to judge by.
    """
    samples = observed.result.samples
    if samples is None:
        raise CompileError("an accuracy target needs calibration data, to judge by")
    ranges, judges = _divide(len(samples))
    feeds = [samples.make(index) for index in judges]
    with tempfile.TemporaryDirectory(prefix="maccel-") as folder:
        trials = Trials(graph, segments, observed.part(ranges), options, feeds, Path(folder))
        choice, report = Search(trials, target, on_npu, progress).run()
    return replace(options, precision=wished(options.precision, choice)), report


def _divide(count: int) -> tuple[list[int], list[int]]:
    """Return the samples that set ranges while formats are searched, and those that judge."""
    every = list(range(count))
    if count < _ENOUGH:
        return every, every[:_JUDGES]
    return [k for k in every if k % 4 != 3], every[3::4][:_JUDGES]


def _decibel(power: Power) -> Power:
    found: Power = -10.0 * np.log10(np.maximum(power, 1e-20))
    return found
