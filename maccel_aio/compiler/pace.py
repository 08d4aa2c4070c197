"""How much slower a choice of formats makes a program, timed on one core of this machine."""

from __future__ import annotations

import math
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from maccel_aio.compiler.units import FINE, FLOAT, Choice, Rung, Unit, wished

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from maccel_aio import ModelConfig
    from maccel_aio.compiler.precision import OnNpu
    from maccel_aio.compiler.target import AccuracyTarget
    from maccel_aio.compiler.trial import Trials

Result = TypeVar("Result")

_TURNS = 15
"""Inferences of each of two programs that take turns."""

_WINDOWS = 5
"""Profiles of a program; what a layer takes is the least of them."""

_LEAST_PRICE = 1e-4

_KINDS = (Rung(), Rung("u8", 16), FINE, FLOAT)


class Pace:
    """Times programs and predicts times. Used by one thread.

    Args:
        trials: builds programs; its first sample is what they run on.
        on_npu: whether a node runs on the device.
        target: has the limits.
    """

    def __init__(self, trials: Trials, on_npu: OnNpu, target: AccuracyTarget) -> None:
        self.trials = trials
        self.on_npu = on_npu
        self.target = target
        self.base = trials.path.with_name("base.mxq")
        self.found: float | None = None
        self._added: dict[tuple[Unit, Rung], float] = {}
        self._seconds = math.inf

    def learn(self, units: Sequence[Unit], sums: Sequence[Unit]) -> None:
        """Time all layers in programs with every unit on the same rung."""
        self._write(self.base, {})
        times: dict[Rung, dict[str, float]] = {}
        for kind in _KINDS:
            every = [*units, *sums] if kind == FLOAT else units
            self._write(self.trials.path, dict.fromkeys(every, kind))
            times[kind] = _apart(self._profile)
        for unit in (*units, *sums):
            for kind in _KINDS:
                added = (times[kind].get(n, 0.0) - times[Rung()].get(n, 0.0) for n in unit.layers)
                self._added[unit, kind] = math.fsum(added)
        self._write(self.trials.path, {})
        self._seconds, _ = _apart(self._race)

    def price(self, unit: Unit, rung: Rung) -> float:
        """Return what a rung adds to an inference, as a share of the program of 8 bits."""
        kind = Rung(rung.storage, rung.weight_bits)
        if kind == Rung():
            return 0.0
        return max(self._added.get((unit, kind), 0.0) / self._seconds, _LEAST_PRICE)

    def room(self, choice: Mapping[Unit, Rung]) -> float:
        """Return the share of the time of 8 bits that is left by prediction; below 0 for none."""
        taken = math.fsum(self.price(unit, rung) for unit, rung in choice.items())
        return self._limit() - 1.0 - taken

    def holds(self, choice: Choice) -> bool:
        """Time the program of a choice beside that of 8 bits; return whether it is fast enough."""
        self._write(self.trials.path, choice)
        _, self.found = _apart(self._race)
        return self.found <= self._limit()

    def _limit(self) -> float:
        return min(self.target.most_slower, self.target.most_seconds / self._seconds)

    def _write(self, path: Path, choice: Choice) -> None:
        precision = wished(self.trials.options.precision, choice)
        self.trials.write(path, precision, self.on_npu)

    def _inputs(self) -> list[NDArray[Any]]:
        return [self.trials.samples[0][name] for name in self.trials.graph.inputs]

    def _profile(self) -> dict[str, float]:
        """Return the seconds of every layer of the trial program, the least of some windows."""
        from maccel_aio import sync

        feeds, least = self._inputs(), dict[str, float]()
        with (
            sync.Accelerator("soft:0") as device,
            sync.load(self.trials.path, _one_core(), accelerator=device) as model,
        ):
            model.infer(feeds)
            for _ in range(_WINDOWS):
                model.set_profile(True)
                model.infer(feeds)
                for one in model.layer_times():
                    seconds = one.total_ns / 1e9
                    least[one.name] = min(seconds, least.get(one.name, seconds))
                model.set_profile(False)
        return least

    def _race(self) -> tuple[float, float]:
        """Return seconds of the program of 8 bits, and the trial's time over it; medians."""
        from maccel_aio import sync

        feeds, seconds, ratios = self._inputs(), [], []
        with (
            sync.Accelerator("soft:0") as device,
            sync.load(self.base, _one_core(), accelerator=device) as base,
            sync.load(self.trials.path, _one_core(), accelerator=device) as other,
        ):
            for model in (base, other):
                model.infer(feeds)
            for _ in range(_TURNS):
                began = time.perf_counter()
                base.infer(feeds)
                between = time.perf_counter()
                other.infer(feeds)
                seconds.append(between - began)
                ratios.append((time.perf_counter() - between) / seconds[-1])
        return statistics.median(seconds), statistics.median(ratios)


def _one_core() -> ModelConfig:
    from maccel_aio import ModelConfig

    return ModelConfig(num_cores=1)


def _apart(what: Callable[[], Result]) -> Result:
    """Call in a thread of its own: the caller's may run an event loop, which warns of blocking."""
    with ThreadPoolExecutor(1) as worker:
        return worker.submit(what).result()
