"""What the search changes next."""

import numpy as np

from maccel_aio.compiler.ladder import Ladder, State
from maccel_aio.compiler.sense import Sensed
from maccel_aio.compiler.target import AccuracyTarget
from maccel_aio.compiler.units import FINE, Choice, Rung, Unit

CHEAP, DEAR, FREE = Unit("a", 0.1, 0.1, ("la",)), Unit("b", 0.8, 0.8, ("lb",)), Unit("c", 0.1, 0.1)


def ladder(target: AccuracyTarget) -> Ladder:
    noise = {CHEAP: 1e-2, DEAR: 2e-2, FREE: 1e-4}
    sensed = Sensed(keep=dict.fromkeys(noise, 1.0))
    for unit, value in noise.items():
        sensed.noise[unit, Rung()] = np.array([value])
    sensed.noise[DEAR, Rung("u8", 16)] = np.array([1.9e-2])
    return Ladder([CHEAP, DEAR, FREE], sensed, target, None)


def state(choice: Choice) -> State:
    return State(choice, np.array([3e-2]), 15.0, 5.0)


def test_the_best_bargain_goes_first() -> None:
    chosen = ladder(AccuracyTarget(17.0)).choose(state({}))
    assert chosen is not None
    assert chosen[CHEAP] == FINE
    assert DEAR not in chosen


def test_the_work_outside_8_bits_stays_below_its_limit() -> None:
    rungs = ladder(AccuracyTarget(60.0, most_wide=0.3))
    chosen: Choice = {}
    while (more := rungs.choose(state(chosen))) is not None:
        chosen = more
    assert chosen == {CHEAP: FINE, FREE: FINE, DEAR: Rung("u8", 16)}


def test_weights_may_widen_where_the_input_may_not() -> None:
    moves = ladder(AccuracyTarget(60.0, most_wide=0.0)).ranked(state({}))
    assert [(move.unit, move.rung) for move in moves] == [(DEAR, Rung("u8", 16))]
    assert moves[0].worth > 0


def test_the_worst_bargain_is_given_up_first() -> None:
    choice = {CHEAP: FINE, DEAR: FINE, FREE: FINE}
    rungs = ladder(AccuracyTarget(20.0))
    assert rungs.bargains(state(choice))[-1] is CHEAP
    assert rungs.lowered(choice, CHEAP) == choice | {CHEAP: Rung("u8", 16)}
    assert rungs.lowered({FREE: FINE}, FREE) == {FREE: Rung()}
    assert rungs.lowered({FREE: Rung(keep=0.8)}, FREE) is None


def test_with_a_metric_every_output_counts() -> None:
    target = AccuracyTarget(15.0, lambda exact, found: float(len(exact) - len(found)))
    assert ladder(target).choose(state({}))
