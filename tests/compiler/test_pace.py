"""Programs timed on this machine: what they predict and what they hold, not how fast they are."""

from pathlib import Path

import pytest

from maccel_aio.compiler.pace import Pace
from maccel_aio.compiler.target import AccuracyTarget
from maccel_aio.compiler.units import FINE, FLOAT, Rung, find_sums, find_units
from tests.compiler.test_trial import made, on_npu


def learned(tmp_path: Path, target: AccuracyTarget) -> Pace:
    trials, graph, _ = made(tmp_path)
    precision = trials.options.precision
    pace = Pace(trials, on_npu, target)
    pace.learn(find_units(graph, on_npu, precision), find_sums(graph, on_npu, precision))
    return pace


def test_prices_are_of_time_and_never_nothing(tmp_path: Path) -> None:
    pace = learned(tmp_path, AccuracyTarget(20.0, most_slower=2.0))
    trials = pace.trials
    units = find_units(trials.graph, on_npu, trials.options.precision)
    assert units
    assert all(pace.price(unit, Rung(keep=0.8)) == 0.0 for unit in units)
    assert all(pace.price(unit, rung) > 0 for unit in units for rung in (FINE, FLOAT))
    assert pace.room({}) == pytest.approx(1.0)
    assert pace.room(dict.fromkeys(units, FINE)) < 1.0


@pytest.mark.parametrize(("limit", "holds"), [(1e9, True), (1e-9, False)])
def test_a_limit_is_held_or_not(tmp_path: Path, limit: float, holds: bool) -> None:
    pace = learned(tmp_path, AccuracyTarget(20.0, most_seconds=limit))
    assert pace.holds({}) is holds
    assert pace.found is not None
    assert pace.found > 0
