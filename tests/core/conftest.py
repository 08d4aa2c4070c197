"""Small models on the software devices; nothing may block a loop or stay behind."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import maccel_aio
from tests.core import mxqtools, rigs


@pytest.fixture(autouse=True)
def checks(no_leaks: None, no_blocking_calls: None) -> None:
    """Apply the checks of the top level to every test of the core."""


@pytest.fixture
def plus_path(tmp_path: Path) -> Path:
    """x -> x + 1 for eight numbers."""
    made: Path = mxqtools.plus(tmp_path / "plus.mxq", 8)
    return made


@pytest.fixture
async def plus(plus_path: Path) -> AsyncIterator[maccel_aio.Model]:
    """x -> x + 1 for eight numbers, on the software NPU."""
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(plus_path) as model:
        yield model


@pytest.fixture
def rig(plus_path: Path) -> Iterator[Callable[..., rigs.Rig]]:
    """Make rings without a loop on a device of the given name; they are taken apart at the end."""
    made: list[rigs.Rig] = []

    def make(name: str = "soft:0", **options: Any) -> rigs.Rig:
        made.append(rigs.Rig(name, plus_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
