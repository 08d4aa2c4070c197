"""pytest fixtures; ask for them with ``pytest_plugins = ["maccel_aio.testing.plugin"]``.

They are plain fixtures, so they work under the plugin of anyio, under pytest-asyncio, and without
either: what is asynchronous about them is entered in the test itself.

``maccel_tiny_model``
    a function that writes a tiny model to the test's folder, see ``testing.tiny_model``;
``maccel_faulty``
    a function that makes accelerators that misbehave, see ``testing.faulty_accelerator``;
``maccel_recorder``
    hooks that remember, see ``testing.Recorder``;
``maccel_no_leaks``
    fails the test if it leaves a device open.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest

from maccel_aio import testing
from maccel_aio._core import _device, _graveyard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from maccel_aio._core._accelerator import Accelerator


@pytest.fixture
def maccel_tiny_model(tmp_path: Path) -> Callable[..., Path]:
    """A function with the arguments of ``testing.tiny_model`` that come after the path."""
    made: list[Path] = []

    def write(*args: Any, **options: Any) -> Path:  # noqa: ANN401 - as tiny_model
        made.append(testing.tiny_model(tmp_path / f"tiny{len(made)}.mxq", *args, **options))
        return made[-1]

    return write


@pytest.fixture
def maccel_faulty() -> Callable[..., Accelerator]:
    """``testing.faulty_accelerator``."""
    return testing.faulty_accelerator


@pytest.fixture
def maccel_recorder() -> testing.Recorder:
    """A new ``testing.Recorder``."""
    return testing.Recorder()


@pytest.fixture
def maccel_no_leaks() -> Iterator[None]:
    """Fail the test if a device that it opened is still open afterwards."""
    before = set(_device.still_open())
    yield
    gc.collect()
    _graveyard.sweep_until_empty(5.0)
    left = sorted(set(_device.still_open()) - before)
    if left:
        pytest.fail(f"left open: {', '.join(left)}")
