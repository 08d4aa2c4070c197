"""The calibration argument: arrays, ``.npy`` / ``.npz`` files, or a directory of pictures."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL.Image import DecompressionBombError

from maccel_aio.compiler.pictures import Augmentation, find_pictures, read_picture
from maccel_aio.errors import InvalidError

if TYPE_CHECKING:
    from maccel_aio.compiler.preprocess import Preprocess

Feed = dict[str, NDArray[Any]]
Shapes = Mapping[str, tuple[int, ...]]
Source = Mapping[str, Any] | str | os.PathLike[str] | NDArray[Any]

DEFAULT_SAMPLES = 32
"""Below this many pictures, augmented copies fill up; above it, more hardly helps."""


class CalibrationError(InvalidError):
    """The calibration data cannot be used for this model; the message says what to change."""


@dataclass(frozen=True)
class CalibrationSet:
    """Samples that are made one at a time, so that memory holds one and not all.

    Immutable; safe to use from several threads.

    Attributes:
        source: where they came from, for the report.
        count: how many samples there are.
        originals: how many of them are not augmented copies; those come first.
        make: sample number -> feed, arrays in the model's ONNX shapes.
    """

    source: str
    count: int
    originals: int
    make: Callable[[int], Feed]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Feed]:
        for index in range(self.count):
            yield self.make(index)

    def head(self, count: int) -> list[Feed]:
        """Return the first `count` original samples (fewer when there are fewer)."""
        return [self.make(index) for index in range(min(count, self.originals))]


def load_calibration(
    source: Source,
    shapes: Shapes,
    *,
    preprocess: Mapping[str, Preprocess] | None = None,
    dtypes: Mapping[str, DTypeLike] | None = None,
    limit: int = 256,
) -> CalibrationSet:
    """Return the calibration samples for a model.

    Args:
        source: ``{input: array}`` with a leading sample axis, a plain array for a model of one
            input, a ``.npz`` / ``.npy`` file of the same, or a directory of pictures.
        shapes: every model input with its fixed ONNX shape.
        preprocess: per input, how pictures become model values; needed for a directory.
        dtypes: numpy type per input; float32 where not given.
        limit: at most this many samples are used.

    Raises:
        CalibrationError: the data does not fit the inputs, is empty, or is not finite.
        FileNotFoundError: the path does not exist.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if not path.exists():
            raise FileNotFoundError(f"calibration data: there is no {path}")
        if path.is_dir():
            return _from_pictures(path, shapes, preprocess or {}, limit)
        return _from_arrays(_read_file(path), shapes, dtypes or {}, limit, path.name)
    return _from_arrays(source, shapes, dtypes or {}, limit, "arrays")


def _read_file(path: Path) -> Mapping[str, Any] | NDArray[Any]:
    if path.suffix not in (".npz", ".npy"):
        msg = f"{path}: calibration is a directory of pictures, a .npz or a .npy file"
        raise CalibrationError(msg)
    try:
        with path.open("rb") as file:  # numpy leaves a file open that it cannot read
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):  # what the file is, whatever its name says
                return loaded
            return {name: loaded[name] for name in loaded.files}
    # A damaged archive fails in any of these ways, depending on the byte.
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise CalibrationError(f"{path} cannot be read as {path.suffix[1:]}: {error}") from error


def _from_arrays(
    source: Mapping[str, Any] | NDArray[Any],
    shapes: Shapes,
    dtypes: Mapping[str, DTypeLike],
    limit: int,
    label: str,
) -> CalibrationSet:
    if not isinstance(source, Mapping):
        if len(shapes) != 1:
            msg = f"the model has {len(shapes)} inputs ({', '.join(shapes)}): give one array each"
            raise CalibrationError(msg)
        source = {next(iter(shapes)): source}
    missing, extra = sorted(set(shapes) - set(source)), sorted(set(source) - set(shapes))
    if missing or extra:
        msg = f"calibration has {sorted(source)}, the model's inputs are {sorted(shapes)}"
        raise CalibrationError(msg)
    arrays = {
        name: _fit(name, _array(name, source[name]), shape, dtypes.get(name, np.float32))
        for name, shape in shapes.items()
    }
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) != 1:
        raise CalibrationError(f"inputs have different numbers of samples: {counts}")
    count = min(limit, *counts.values())

    def make(index: int) -> Feed:
        return {name: np.asarray(array[index]) for name, array in arrays.items()}

    return CalibrationSet(label, count, count, make)


def _array(name: str, value: object) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise CalibrationError(f"input {name!r}: calibration is no array: {error}") from error


def _fit(name: str, array: NDArray[Any], shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return `array` as ``[samples, *shape]``; a batch dimension of 1 may be left out of it."""
    if array.dtype.kind not in "fiub":
        raise CalibrationError(f"input {name!r}: calibration of type {array.dtype} is not numeric")
    if array.ndim == 0 or array.shape[1:] != shape:
        if shape and shape[0] == 1 and array.shape[1:] == shape[1:]:
            array = array[:, None]
        else:
            msg = (
                f"input {name!r}: calibration has shape {list(array.shape)}, "
                f"wanted [samples, {', '.join(map(str, shape))}]"
            )
            raise CalibrationError(msg)
    if len(array) == 0:
        raise CalibrationError(f"input {name!r}: calibration has no samples")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise CalibrationError(f"input {name!r}: calibration has values that are not finite")
    return array.astype(dtype, copy=False)


def image_geometry(name: str, shape: tuple[int, ...]) -> tuple[int, int, int, bool]:
    """Return height, width, channels and "channels last" of an image input.

    Raises:
        CalibrationError: the input is not an image of 1 or 3 channels.
    """
    if len(shape) == 4 and shape[0] == 1:
        if shape[1] in (1, 3):
            return shape[2], shape[3], shape[1], False
        if shape[3] in (1, 3):
            return shape[1], shape[2], shape[3], True
    msg = f"input {name!r} of shape {list(shape)} is not an image: give arrays instead of pictures"
    raise CalibrationError(msg)


def _from_pictures(
    folder: Path, shapes: Shapes, preprocess: Mapping[str, Preprocess], limit: int
) -> CalibrationSet:
    if len(shapes) != 1:
        msg = f"pictures fit a model of one input, this one has {len(shapes)}: give a .npz file"
        raise CalibrationError(msg)
    name, shape = next(iter(shapes.items()))
    height, width, channels, last = image_geometry(name, shape)
    if name not in preprocess:
        msg = (
            f"pictures need the preprocessing of input {name!r}: mean, std and channel order, "
            "for example --preprocess mean=127,std=128,channels=RGB"
        )
        raise CalibrationError(msg)
    how = preprocess[name]
    if len(how.mean) != channels:
        msg = f"input {name!r} has {channels} channels, preprocess is {how.channels}"
        raise CalibrationError(msg)
    paths = find_pictures(folder)[:limit]
    if not paths:
        raise CalibrationError(f"{folder} has no pictures (jpg, png, bmp, webp, tiff, ppm)")
    count = max(len(paths), min(DEFAULT_SAMPLES, limit))

    def make(index: int) -> Feed:
        change = Augmentation.draw(index) if index >= len(paths) else None
        path = paths[index % len(paths)]
        try:
            pixels = read_picture(path, height, width, how.channels, how.crop, change)
        # What Pillow makes of a damaged file depends on the format and the byte.
        except (OSError, ValueError, SyntaxError, DecompressionBombError) as error:
            raise CalibrationError(f"picture {path} cannot be read: {error}") from error
        image = how.apply(pixels)
        return {name: (image if last else np.ascontiguousarray(image.transpose(2, 0, 1)))[None]}

    return CalibrationSet(str(folder), count, len(paths), make)
