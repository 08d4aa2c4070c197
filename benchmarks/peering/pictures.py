"""Pictures as what models take: pixels, and real numbers made of pixels."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maccel_aio import zoo

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Preprocess:
    """``value = (pixel - mean) / std`` per channel, RGB."""

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def floats(self, pixels: Pixels) -> Floats:
        """Return ``[n, 3, h, w]`` of pixels ``[n, h, w, 3]``."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        real = (pixels.astype(np.float32) - mean) / std
        return np.ascontiguousarray(real.transpose(0, 3, 1, 2), np.float32)


PLAIN = Preprocess()
IMAGENET = Preprocess((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
HALF = Preprocess((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
UNIT = Preprocess(std=(255.0, 255.0, 255.0))


def _fit(path: str, height: int, width: int) -> Pixels:
    """Return the largest centre crop of a picture that has the wanted shape, resized."""
    image = Image.open(path).convert("RGB")
    scale = min(image.width / width, image.height / height)
    wide, tall = scale * width, scale * height
    left, top = (image.width - wide) / 2, (image.height - tall) / 2
    box = (left, top, left + wide, top + tall)
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box), np.uint8)


@cache
def photos(height: int, width: int) -> Pixels:
    """Return the zoo's 20 photos and the portrait as ``[21, height, width, 3]``."""
    paths = [zoo.get("astronaut"), *sorted(zoo.get("photos").iterdir())]
    return np.stack([_fit(str(path), height, width) for path in paths])
