"""What to change next, by prediction: the ladder that units go up and down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.units import FINE, Choice, Rung, Unit, work_outside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from maccel_aio.compiler.pace import Pace
    from maccel_aio.compiler.sense import Power, Sensed
    from maccel_aio.compiler.target import AccuracyTarget

_STEP = 0.7
"""The predicted noise falls to this share, then the program is measured again."""

_FREE = 1e-4
"""The least price: what costs nothing is not worth infinitely much."""


@dataclass(frozen=True)
class State:
    """A program that was judged.

    Attributes:
        choice: the rungs of the units that are not where they start.
        power: noise over signal of every output.
        value: the figure that the target is about.
        lack: what is missing to the target, over all outputs; 0 or less when it is reached.
    """

    choice: Choice
    power: Power
    value: float
    lack: float


@dataclass(frozen=True)
class Move:
    """A unit going up to a rung: its price, and the share of the noise that it buys for that."""

    unit: Unit
    rung: Rung
    price: float
    worth: float


class Ladder:
    """Ranks changes by what they buy for their price. Immutable.

    Args:
        units: what may change.
        sensed: what each costs alone.
        target: has the limits.
        pace: prices by measured time; None: by work.
    """

    def __init__(
        self, units: Sequence[Unit], sensed: Sensed, target: AccuracyTarget, pace: Pace | None
    ) -> None:
        self.units = units
        self.sensed = sensed
        self.target = target
        self.pace = pace

    def choose(self, state: State) -> Choice | None:
        """Return the choice with more units up a rung, until enough noise has gone by prediction.

        None: nothing more may change.
        """
        chosen = dict(state.choice)
        predicted = self._predicted(chosen)
        ratio = state.power / np.maximum(predicted, 1e-300)
        wanted, short = self._wanted(state.power)
        goal = np.maximum(wanted / ratio * 0.9, predicted * _STEP)
        while chosen == state.choice or not (predicted[short] <= goal[short]).all():
            moves = self.ranked(replace(state, choice=chosen))
            best = max(moves, key=lambda m: (m.worth, m.rung, m.unit.name), default=None)
            if best is None or (best.worth <= 0.0 and chosen != state.choice):
                break
            chosen[best.unit] = best.rung
            predicted = self._predicted(chosen)
        return chosen if chosen != state.choice else None

    def _predicted(self, choice: Choice) -> Power:
        made: Power = np.sum([self._made(u, choice.get(u, u.start)) for u in self.units], axis=0)
        return made

    def ranked(self, state: State) -> list[Move]:
        """Return what may change next, with what it is worth by prediction."""
        ratio = 1.0 / np.maximum(self._predicted(state.choice), 1e-300)
        _, short = self._wanted(state.power)
        found = []
        for unit, rung in self._allowed(state.choice):
            now = state.choice.get(unit, unit.start)
            price = max(self._price(unit, rung) - self._price(unit, now), _FREE)
            fall = self._made(unit, now) - self._made(unit, rung)
            found.append(Move(unit, rung, price, float((fall * ratio)[short].sum()) / price))
        return found

    def _allowed(self, choice: Choice) -> Iterator[tuple[Unit, Rung]]:
        """Yield the rungs that units may go up to, within the limits."""
        room = self.target.most_wide - work_outside(choice) + 1e-9
        for unit in self.units:
            now = choice.get(unit, unit.start)
            eight = Rung("u8", 16, self.sensed.keep[unit])
            rungs = [] if now.wide else [eight, FINE] if now.weight_bits == 8 else [FINE]
            for rung in rungs:
                known = rung.wide or (unit, rung) in self.sensed.noise
                fits = not rung.wide or unit.work <= room
                if known and fits and self.fits_time(choice | {unit: rung}):
                    yield unit, rung

    def _made(self, unit: Unit, rung: Rung) -> Power:
        found = self.sensed.of(unit, rung)
        return self.sensed.noise[unit, Rung()] if found is None else found

    def _wanted(self, power: Power) -> tuple[Power, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
        """Return the noise to get to, and which outputs have more; with a metric all have."""
        if self.target.metric is not None:
            return np.zeros_like(power), np.ones(len(power), np.bool_)
        wanted = np.full(power.shape, 10.0 ** (-self.target.least / 10))
        return wanted, np.asarray(power > wanted)

    def fits_time(self, choice: Choice) -> bool:
        """Whether a choice is within the limit of time, by prediction."""
        return self.pace is None or self.pace.room(choice) >= 0.0

    def _price(self, unit: Unit, rung: Rung) -> float:
        return unit.price(rung) if self.pace is None else self.pace.price(unit, rung)

    def bargains(self, state: State) -> list[Unit]:
        """Return the units that left their start, those that bring least for their price first."""
        noise_of, choice = self.sensed.noise, state.choice

        def worth(unit: Unit) -> float:
            plain = noise_of.get((unit, Rung()))
            gain = 0.0 if plain is None else float((plain / state.power).sum())
            return gain / max(self._price(unit, choice[unit]), 1e-9)

        return sorted(choice, key=lambda unit: (worth(unit), unit.name))

    def lowered(self, choice: Choice, unit: Unit) -> Choice | None:
        """Return a choice with a unit down a rung, None where it is down."""
        rung = choice.get(unit, unit.start)
        below = unit.below(rung, self.sensed.keep.get(unit, 1.0))
        if below is None or below == rung or rung.weight_bits == Rung().weight_bits:
            return None
        return choice | {unit: below}
