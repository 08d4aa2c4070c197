"""Real models, compiled once per run of the tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from maccel_aio import zoo

Compiled = Callable[..., Path]


@pytest.fixture(scope="session")
def zoo_model(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """Compile a model of the zoo, ``zoo_model("centerface", (512, 512))``, and return the file."""
    folder = tmp_path_factory.mktemp("zoo-models")
    made: dict[tuple[str, tuple[int, int] | None], Path] = {}

    def compiled(name: str, size: tuple[int, int] | None = None) -> Path:
        if (name, size) not in made:
            path = folder / f"{name}-{len(made)}.mxq"
            zoo.compile_model(name, path, size=size)
            made[name, size] = path
        return made[name, size]

    return compiled
