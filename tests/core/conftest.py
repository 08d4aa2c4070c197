"""Small models on the software devices; nothing may block a loop or stay behind."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import maccel_aio
from tests.core import mxqtools


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
