"""Pictures as calibration samples: reading, cropping, and deterministic augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


@dataclass(frozen=True)
class Augmentation:
    """One changed copy of a picture.

    Attributes:
        flip: mirrored left to right.
        crop: side of the crop as a share of the centre crop, 0.6 to 1.
        shift: where the smaller crop lies in its room, 0..1 down and right.
        brightness: factor on the pixels, 0.7 to 1.3.
    """

    flip: bool
    crop: float
    shift: tuple[float, float]
    brightness: float

    @classmethod
    def draw(cls, seed: int) -> Augmentation:
        """Return the augmentation of this seed; the same on every machine."""
        rng = np.random.default_rng([0x6D78, seed])
        flip = bool(rng.random() < 0.5)
        crop, brightness = rng.uniform(0.6, 1.0), rng.uniform(0.7, 1.3)
        down, right = rng.random(2)
        return cls(flip, float(crop), (float(down), float(right)), float(brightness))


def find_pictures(folder: Path) -> list[Path]:
    """Return the pictures directly in `folder`, sorted by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file())


def _box(
    size: tuple[int, int], aspect: float, crop: float, change: Augmentation | None
) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the crop in a picture of (width, height) `size`."""
    width, height = size
    wide = max(1, int(min(width, height * aspect) * crop))
    tall = max(1, int(min(height, width / aspect) * crop))
    x, y = (width - wide) // 2, (height - tall) // 2
    if change is not None:
        inner_x, inner_y = max(1, int(wide * change.crop)), max(1, int(tall * change.crop))
        x += int((wide - inner_x) * change.shift[1])
        y += int((tall - inner_y) * change.shift[0])
        wide, tall = inner_x, inner_y
    return x, y, x + wide, y + tall


def read_picture(
    path: Path,
    height: int,
    width: int,
    channels: str,
    crop: float,
    change: Augmentation | None = None,
) -> NDArray[np.uint8]:
    """Return a picture as ``[height, width, c]`` u8 pixels in the order `channels`.

    The largest centred part with the wanted aspect ratio, times `crop`, is resized (bicubic).

    Raises:
        OSError: the file is no picture, or is damaged.
    """
    with Image.open(path) as opened:
        image = opened.convert("L" if channels == "GRAY" else "RGB")
    box = _box(image.size, width / height, crop, change)
    resized = image.crop(box).resize((width, height), Image.Resampling.BICUBIC)
    pixels: NDArray[np.uint8] = np.asarray(resized, np.uint8).reshape(height, width, -1)
    if change is not None:
        pixels = pixels[:, ::-1] if change.flip else pixels
        bright = pixels.astype(np.float32) * np.float32(change.brightness)
        pixels = np.clip(np.rint(bright), 0, 255).astype(np.uint8)
    if channels == "BGR":
        pixels = pixels[:, :, ::-1]
    return np.ascontiguousarray(pixels)
