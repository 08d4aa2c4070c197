"""Which tensors have to leave 8 bits for a wanted accuracy: the search.

First every tensor alone goes back to 8 bits in a program whose others have 16: what that costs at
the outputs is its share. Then the tensors that buy most for their price go to 16 bits, until the
program, measured as a whole, is good enough. The samples that judge are not those that set the
ranges, where there are enough.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import CompileError
from maccel_aio.compiler.precision import WEIGHTED, choose, copy_name, macs
from maccel_aio.compiler.trial import Trials, noise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from maccel_aio.compiler.ir import Graph, QuantDtype
    from maccel_aio.compiler.numeric import Observed
    from maccel_aio.compiler.partition import Segment
    from maccel_aio.compiler.precision import OnNpu, PrecisionOptions
    from maccel_aio.compiler.quantize import QuantizeOptions
    from maccel_aio.compiler.trial import Answers, Metric

    Progress = Callable[[int, int], None]

_SENSED = 3
"""Samples that tell what one tensor costs."""

_STEP = 0.7
"""The predicted noise falls to this share, then the program is measured again."""

_PRUNED = 8
"""Tensors that may be taken back at the end."""

_ENOUGH = 16
"""From so many samples on a quarter judges and does not set ranges."""

_JUDGES = 8


@dataclass(frozen=True)
class AccuracyTarget:
    """How good the program has to be.

    Attributes:
        least: dB of signal over quantisation noise at every output; with `metric`, its value.
        metric: judges answers, ``metric(exact, found)`` with per sample the list of outputs in
            the model's order; larger is better. None: signal over noise.
        most_wide: largest share of the multiply-accumulates that may leave 8 bits, 0..1.
    """

    least: float
    metric: Metric | None = None
    most_wide: float = 1.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.least):
            raise CompileError(f"an accuracy target of {self.least} is no number to reach")
        if not 0.0 <= self.most_wide <= 1.0:
            raise CompileError(f"most_wide is a share between 0 and 1, not {self.most_wide}")


@dataclass(frozen=True)
class Unit:
    """What goes to 16 bits as one: tensors of one format, or the 8-bit copy of a wider tensor.

    Attributes:
        name: in `PrecisionOptions.storage`.
        work: multiply-accumulates of the layers that read it, as a share of all.
        size: its elements, as a share of those of all units.
    """

    name: str
    work: float
    size: float

    @property
    def price(self) -> float:
        """What leaving 8 bits costs; memory counts a tenth, and being different a little."""
        return self.work + 0.1 * self.size + 0.002


@dataclass(frozen=True)
class SearchReport:
    """What the search found.

    Attributes:
        reached: whether the target was.
        value: of the metric, or dB of the worst output, on the samples that judge.
        decibel: of every output there.
        wide: share of the multiply-accumulates that left 8 bits.
        tensors: what has 16 bits now, dearest first.
        costs: per tensor, the share of all noise that its 8 bits would cause; largest first.
        trials: programs that were built and run.
    """

    reached: bool
    value: float
    decibel: tuple[float, ...]
    wide: float
    tensors: tuple[str, ...]
    costs: Mapping[str, float] = field(default_factory=dict)
    trials: int = 0


def find_units(graph: Graph, on_npu: OnNpu, options: PrecisionOptions) -> list[Unit]:
    """Return what could leave 8 bits, in the order of the graph."""
    readers = graph.consumers()
    every = max(1, sum(macs(graph, node) for node in graph.nodes))
    found: list[tuple[str, float, int]] = []
    for group in choose(graph, on_npu, options):
        named = {group.members[0]: group.members} if group.dtype == "u8" else {}
        named |= {copy_name(name): [name] for name in group.eight}
        for name, members in named.items():
            fed = {
                id(node): node
                for member in members
                for node in readers[member]
                if node.op in WEIGHTED and node.inputs[0] == member and on_npu(node)
            }
            size = sum(graph.tensor(member).elements for member in members)
            found.append((name, sum(macs(graph, node) for node in fed.values()) / every, size))
    elements = max(1, sum(size for _, _, size in found))
    return [Unit(name, work, size / elements) for name, work, size in found]


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
        self.units = find_units(trials.graph, on_npu, trials.options.precision)
        self.done = 0

    def run(self) -> tuple[dict[str, QuantDtype], SearchReport]:
        """Return the storage of the tensors that leave 8 bits, and the report."""
        wide: list[Unit] = []
        power, value = self._judge(wide)
        if self._reached(value):
            return {}, self._report(wide, power, value, {})
        share = self._sense()
        while not self._reached(value):
            more = self._choose(wide, share, power)
            if not more:
                break
            wide += more
            power, value = self._judge(wide)
        if self._reached(value):
            wide, power, value = self._prune(wide, share, power, value)
        return self._storage(wide), self._report(wide, power, value, share)

    def _storage(self, wide: list[Unit]) -> dict[str, QuantDtype]:
        return {unit.name: "s16" for unit in wide}

    def _answers(self, wide: list[Unit], count: int) -> Answers:
        found = self.trials.answers(self._storage(wide), count, self.on_npu)
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, max(self.done, len(self.units) + 12))
        return found

    def _judge(self, wide: list[Unit]) -> tuple[NDArray[np.float64], float]:
        """Return the noise of every output, and the figure that the target is about."""
        exact = self.trials.exact
        found = self._answers(wide, len(exact))
        power = noise(exact, found)
        if self.target.metric is not None:
            return power, float(self.target.metric(exact, found))
        return power, float(_decibel(power).min())

    def _reached(self, value: float) -> bool:
        return value >= self.target.least

    def _sense(self) -> dict[str, NDArray[np.float64]]:
        """Return what the 8 bits of every unit alone add to the noise of every output."""
        exact = self.trials.exact[:_SENSED]
        floor = noise(exact, self._answers(self.units, len(exact)))
        share = {}
        for unit in self.units:
            others = [other for other in self.units if other is not unit]
            found = noise(exact, self._answers(others, len(exact)))
            share[unit.name] = np.maximum(found - floor, 0.0)
        return share

    def _choose(
        self, wide: list[Unit], share: Mapping[str, NDArray[np.float64]], power: NDArray[np.float64]
    ) -> list[Unit]:
        """Return the units that are to leave next: until enough noise has gone, by prediction."""
        left = [unit for unit in self.units if unit not in wide]
        predicted = np.sum([share[unit.name] for unit in left], axis=0)
        ratio = power / np.maximum(predicted, 1e-300)
        wanted, short = self._wanted(power)
        goal = np.maximum(wanted / ratio * 0.9, predicted * _STEP)
        room = self.target.most_wide - sum(unit.work for unit in wide)
        chosen: list[Unit] = []
        while True:
            left = [u for u in left if u not in chosen and u.work <= room + 1e-9]
            if not left or (chosen and (predicted[short] <= goal[short]).all()):
                return chosen
            gain = {u.name: float((share[u.name] * ratio / power)[short].sum()) for u in left}
            best = max(left, key=lambda unit: gain[unit.name] / unit.price)
            if chosen and gain[best.name] <= 0.0:
                return chosen
            chosen.append(best)
            room -= best.work
            predicted = predicted - share[best.name]

    def _wanted(self, power: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the noise to get to, and which outputs have more; with a metric all have."""
        if self.target.metric is not None:
            return np.zeros_like(power), np.ones(power.shape, np.bool_)
        wanted = np.full(power.shape, 10.0 ** (-self.target.least / 10))
        return wanted, power > wanted

    def _prune(
        self,
        wide: list[Unit],
        share: Mapping[str, NDArray[np.float64]],
        power: NDArray[np.float64],
        value: float,
    ) -> tuple[list[Unit], NDArray[np.float64], float]:
        """Take back what turns out not to be needed, the worst bargains first."""
        worth = {unit.name: float((share[unit.name] / power).sum()) / unit.price for unit in wide}
        for unit in sorted(wide, key=lambda unit: worth[unit.name])[:_PRUNED]:
            fewer = [other for other in wide if other is not unit]
            now, figure = self._judge(fewer)
            if self._reached(figure):
                wide, power, value = fewer, now, figure
        return wide, power, value

    def _report(
        self,
        wide: list[Unit],
        power: NDArray[np.float64],
        value: float,
        share: Mapping[str, NDArray[np.float64]],
    ) -> SearchReport:
        total = np.maximum(np.sum(list(share.values()), axis=0), 1e-300) if share else power
        costs = {name: float((part / total).mean()) for name, part in share.items()}
        ordered = dict(sorted(costs.items(), key=lambda item: -item[1]))
        dearest = sorted(wide, key=lambda unit: -unit.price)
        return SearchReport(
            self._reached(value),
            value,
            tuple(float(x) for x in _decibel(power)),
            sum(unit.work for unit in wide),
            tuple(unit.name for unit in dearest),
            ordered,
            self.done,
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
    """Return the options with the storage that reaches the target, and how that was found.

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
        storage, report = Search(trials, target, on_npu, progress).run()
    precision = replace(options.precision, storage={**options.precision.storage, **storage})
    return replace(options, precision=precision), report


def _divide(count: int) -> tuple[list[int], list[int]]:
    """Return the samples that set ranges while formats are searched, and those that judge."""
    every = list(range(count))
    if count < _ENOUGH:
        return every, every[:_JUDGES]
    return [k for k in every if k % 4 != 3], every[3::4][:_JUDGES]


def _decibel(power: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = -10.0 * np.log10(np.maximum(power, 1e-20))
    return found
