"""What can be asked of a search."""

import math
from typing import Any

import pytest

from maccel_aio.compiler.target import AccuracyTarget
from maccel_aio.errors import CompileError


@pytest.mark.parametrize(
    "wish",
    [
        {"least": math.nan},
        {"least": math.inf},
        {"least": 20.0, "most_wide": -0.1},
        {"least": 20.0, "most_wide": 1.5},
        {"least": 20.0, "most_slower": 0.9},
        {"least": 20.0, "most_slower": math.nan},
        {"least": 20.0, "most_seconds": 0.0},
        {"least": 20.0, "most_seconds": -1.0},
    ],
)
def test_targets_without_sense_are_refused(wish: dict[str, Any]) -> None:
    with pytest.raises(CompileError):
        AccuracyTarget(**wish)


def test_time_is_limited_only_when_asked_for() -> None:
    assert not AccuracyTarget(20.0).has_budget
    assert AccuracyTarget(20.0, most_slower=1.2).has_budget
    assert AccuracyTarget(20.0, most_seconds=0.01).has_budget
