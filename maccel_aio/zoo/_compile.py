"""Compiles the models of the zoo, with the pictures and the preprocessing that suit each."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import maccel_aio
from maccel_aio.zoo import centerface, efficientnet_lite0
from maccel_aio.zoo._fetch import ZooError
from maccel_aio.zoo._get import get

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from maccel_aio.compiler.report import CompileReport


class _Recipe(NamedTuple):
    """How a model is compiled: its input, the default size, and what calibrates it."""

    input: str
    size: tuple[int, int]
    step: int
    preprocess: dict[str, Any]
    pictures: tuple[str, ...]


_RECIPES = {
    "efficientnet_lite0": _Recipe(
        "input",
        (efficientnet_lite0.SIZE, efficientnet_lite0.SIZE),
        32,
        {**efficientnet_lite0.PREPROCESS, "crop": efficientnet_lite0.CROP},
        ("photos",),
    ),
    "centerface": _Recipe(
        "input.1",
        (512, 512),
        centerface.STEP,
        {**centerface.PREPROCESS, "crop": 1.0},
        ("photos", "astronaut"),
    ),
}


def compile_model(
    name: str,
    out: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> CompileReport:
    """Compile a model of the zoo to a ``.mxq`` file; fetches what that needs.

    Blocks for seconds; safe to call from several threads.

    Args:
        name: ``"efficientnet_lite0"`` or ``"centerface"``.
        out: the file to write.
        size: height and width of its input, in pixels.
        progress: called with the name of the step, what is done of it, and how much there is.

    Raises:
        ZooError: the name is no model, the size does not suit it, or a file cannot be fetched.
        CompileError: the compiler refuses the model.
    """
    recipe = _RECIPES.get(name)
    if recipe is None:
        raise ZooError(f"the zoo has no model {name!r} to compile; it has {', '.join(_RECIPES)}")
    height, width = size or recipe.size
    if height < 1 or width < 1 or height % recipe.step or width % recipe.step:
        raise ZooError(f"{name}: {height}x{width} are not multiples of {recipe.step}")
    with _pictures(recipe) as folder:
        report: CompileReport = maccel_aio.compile(
            get(name),
            out,
            calibration=folder,
            shapes={recipe.input: (1, 3, height, width)},
            preprocess=recipe.preprocess,
            progress=progress,
        )
    return report


@contextmanager
def _pictures(recipe: _Recipe) -> Iterator[Path]:
    """Make a folder with links to all pictures of the recipe."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for name in recipe.pictures:
            path = get(name)
            for picture in sorted(path.iterdir()) if path.is_dir() else [path]:
                (folder / picture.name).symlink_to(picture)
        yield folder
