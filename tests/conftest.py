"""Event loops, blocked-loop detection, leak checks; and real models, compiled once per run."""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

from maccel_aio._core import _device, _graveyard, _guard

# A slow moment of the machine is no failure; and a run that decides does not roll dice.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

Compiled = Callable[..., Path]

LOOPS = [
    pytest.param(("asyncio", {}), id="asyncio"),
    pytest.param(("asyncio", {"debug": True}), id="asyncio-debug"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    pytest.param(("trio", {}), id="trio"),
]


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run an asynchronous test once in each event loop."""
    backend: tuple[str, dict[str, Any]] = request.param
    return backend


@pytest.fixture
def no_blocking_calls() -> Iterator[None]:
    """Fail a test in which the library blocks the event loop."""
    with blockbuster_ctx("maccel_aio"):
        yield


@pytest.fixture(scope="session")
def imported_things_stay() -> Iterator[None]:
    """Keep the collector from looking through all that was imported, again after every test."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def no_leaks(imported_things_stay: None) -> Iterator[None]:
    """Fail a test that leaves a device open, or memory that a device may still write."""
    yield
    gc.collect()
    assert _guard.claims() == 0, "the device still owns arrays of a caller"
    assert _graveyard.sweep_until_empty(5.0), "something could not be freed"
    assert not _device.still_open(), "a device was left open"


@pytest.fixture(scope="session")
def zoo_model(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """Compile a model of the zoo, ``zoo_model("centerface", (512, 512))``, and return the file."""
    from maccel_aio import zoo

    folder = tmp_path_factory.mktemp("zoo-models")
    made: dict[tuple[str, tuple[int, int] | None], Path] = {}

    def compiled(name: str, size: tuple[int, int] | None = None) -> Path:
        if (name, size) not in made:
            path = folder / f"{name}-{len(made)}.mxq"
            zoo.compile_model(name, path, size=size)
            made[name, size] = path
        return made[name, size]

    return compiled
