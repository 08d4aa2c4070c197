"""Turns the ``--input`` arguments into arrays for a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from maccel_aio import TensorSpec

FITS = ("crop", "pad", "stretch")


class Request(NamedTuple):
    """What one call of ``infer`` gets, and the name its outputs are saved under."""

    name: str
    arrays: list[NDArray[Any]]


def read_requests(
    arguments: Sequence[str], specs: Sequence[TensorSpec], *, fit: str = "crop"
) -> list[Request]:
    """Return the requests that the arguments stand for.

    A model of one input runs once per argument. A model of several runs once, with one argument for
    each input: in its order, or as ``NAME=PATH``.

    Args:
        arguments: paths of ``.npy`` files or pictures, each perhaps after ``NAME=``.
        specs: the model's inputs.
        fit: how a picture of another shape becomes an input: one of `FITS`.

    Raises:
        ValueError: the arguments do not fit the inputs.
        OSError: a file cannot be read.
    """
    named = [_split(argument, specs) for argument in arguments]
    if len(specs) == 1:
        paths = [Path(path) for _, path in named]
        names = distinct([path.stem for path in paths])
        arrays = [_read(path, specs[0], fit) for path in paths]
        return [Request(name, [array]) for name, array in zip(names, arrays, strict=True)]
    if len(arguments) != len(specs):
        wanted = ", ".join(spec.name for spec in specs)
        raise ValueError(f"the model has {len(specs)} inputs ({wanted}), got {len(arguments)}")
    order = {spec.name: index for index, spec in enumerate(specs)}
    places = [index if name is None else order[name] for index, (name, _) in enumerate(named)]
    if sorted(places) != list(range(len(specs))):
        raise ValueError("an input is given twice: name all of them, or none")
    by_place = sorted(zip(places, (Path(path) for _, path in named), strict=True))
    pairs = zip(by_place, specs, strict=True)
    return [Request(by_place[0][1].stem, [_read(path, spec, fit) for (_, path), spec in pairs])]


def distinct(names: Sequence[str]) -> list[str]:
    """Return the names, with a number after each one that came before; none is there twice."""
    taken = set(names)
    seen: set[str] = set()
    made = []
    for name in names:
        number, own = 2, name
        while own in seen or (own != name and own in taken):
            number, own = number + 1, f"{name}-{number}"
        seen.add(own)
        made.append(own)
    return made


def _split(argument: str, specs: Sequence[TensorSpec]) -> tuple[str | None, str]:
    """Split ``NAME=PATH`` if NAME is one of the inputs; a path may hold an equals sign too."""
    name, equals, path = argument.partition("=")
    if equals and any(spec.name == name for spec in specs):
        return name, path
    return None, argument


def _read(path: Path, spec: TensorSpec, fit: str) -> NDArray[Any]:
    if path.suffix != ".npy":
        return picture_input(path, spec, fit)
    try:
        with path.open("rb") as file:  # np.load would offer to load it unsafely
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except ValueError as error:
        raise ValueError(f"{path} is not a .npy file of numbers: {error}") from error


def picture_input(path: Path, spec: TensorSpec, fit: str) -> NDArray[np.uint8]:
    """Return a picture as ``[h, w, c]`` uint8 pixels in the size that `spec` wants.

    Raises:
        ValueError: the input is not an image, or does not take raw pixels.
        OSError: the file is no picture.
    """
    from PIL import Image, ImageOps

    if spec.layout == "ND" or spec.preprocess is None:
        raise ValueError(
            f"input {spec.name!r} does not take pictures: give a .npy file, or compile the model "
            "with --preprocess"
        )
    _, *rest = spec.shape
    channels, height, width = rest if spec.layout == "NCHW" else (rest[2], rest[0], rest[1])
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("L" if channels == 1 else "RGB")
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    # What Pillow makes of a damaged file depends on the format and the byte.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise OSError(f"{path} cannot be read as a picture: {error}") from error
    size = (width, height)
    if fit == "crop":
        image = ImageOps.fit(image, size, Image.Resampling.BICUBIC)
    elif fit == "pad":
        image = ImageOps.pad(image, size, Image.Resampling.BICUBIC, centering=(0, 0))
    else:
        image = image.resize(size, Image.Resampling.BICUBIC)
    pixels = np.asarray(image, np.uint8).reshape(height, width, channels)
    reverse = spec.preprocess.get("channels") == "BGR"
    return np.ascontiguousarray(pixels[:, :, ::-1]) if reverse else pixels
