"""What the 8 bits of every tensor alone cost, and what cheaper remedies than 16 bits do for it.

The noise of a unit is measured in a program in which all others have 16 bits. Two remedies leave
its activations in 8 bits: a narrower range, which clips a few values and resolves the others
better, and weights of 16 bits in the layers that read it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.units import FINE, Choice, Rung, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Power = NDArray[np.float64]
    Measure = Callable[[Choice], Power]
    """From the rungs of the units to noise over signal of every output."""

_EXPLORED = 0.97
"""Units that make this share of all noise are looked at closer."""

_MOST_EXPLORED = 28

_NARROWER = (0.8, 0.62, 0.48)
"""Shares of the range that are tried, until one is worse than the one before."""

_WORTH = 0.75
"""A narrower range has to bring the noise down to this share, or it is left."""


@dataclass
class Sensed:
    """Noise over signal at every output, f64 ``[outputs]``, that units make alone.

    Attributes:
        noise: of the rungs that were measured; those of 16 bits make none here.
        keep: the share of its range that a unit keeps best; 1 where it was not looked at.
        gains: the share of all noise that goes with a narrower range.
    """

    noise: dict[tuple[Unit, Rung], Power] = field(default_factory=dict)
    keep: dict[Unit, float] = field(default_factory=dict)
    gains: dict[Unit, float] = field(default_factory=dict)

    def of(self, unit: Unit, rung: Rung) -> Power | None:
        """Return the noise of a rung, None if that was not measured."""
        if rung.wide:
            return np.zeros_like(self.noise[unit, Rung()])
        return self.noise.get((unit, rung))

    def costs(self) -> dict[Unit, float]:
        """Return the share of all noise that each unit's 8 bits make, largest first."""
        alone = {unit: power for (unit, rung), power in self.noise.items() if rung == Rung()}
        if not alone:
            return {}
        total = np.maximum(np.sum(list(alone.values()), axis=0), 1e-300)
        shares = {unit: float((power / total).mean()) for unit, power in alone.items()}
        return dict(sorted(shares.items(), key=lambda item: -item[1]))


def sense(units: Sequence[Unit], measure: Measure) -> Sensed:
    """Return what the units make, one trial for each, and a few more for the dearest."""
    quiet = dict.fromkeys(units, FINE)
    floor = measure(quiet)
    found = Sensed(keep=dict.fromkeys(units, 1.0))

    def alone(unit: Unit, rung: Rung) -> Power:
        made: Power = np.maximum(measure(quiet | {unit: rung}) - floor, 0.0)
        found.noise[unit, rung] = made
        return made

    for unit in units:
        alone(unit, Rung())
    total = np.maximum(np.sum(list(found.noise.values()), axis=0), 1e-300)
    for unit in _dearest(found):
        _narrow(unit, found, alone, total)
        if unit.layers:
            alone(unit, Rung("u8", 16, found.keep[unit]))
    return found


def _dearest(found: Sensed) -> list[Unit]:
    """Return the units that make nearly all noise, largest first."""
    dearest, explained = [], 0.0
    for unit, share in list(found.costs().items())[:_MOST_EXPLORED]:
        if explained > _EXPLORED:
            break
        dearest.append(unit)
        explained += share
    return dearest


def _narrow(unit: Unit, found: Sensed, alone: Callable[[Unit, Rung], Power], total: Power) -> None:
    """Find the share of its range that a unit keeps best."""

    def score(power: Power) -> float:
        return float((power / total).mean())

    before = best = score(found.noise[unit, Rung()])
    chosen = 1.0
    for keep in _NARROWER:
        now = score(alone(unit, replace(Rung(), keep=keep)))
        if now >= best:
            break
        best, chosen = now, keep
    if best < _WORTH * before:
        found.keep[unit], found.gains[unit] = chosen, before - best
