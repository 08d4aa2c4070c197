"""Pictures to calibrate with and other ones to judge with, as ``[n, h, w, 3]`` uint8."""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maccel_aio import zoo
from peering.sources import fetched

Pixels = NDArray[np.uint8]


@cache
def photos() -> list[Image.Image]:
    """Return the zoo's 20 photos."""
    return [_open(path) for path in sorted(zoo.get("photos").iterdir())]


@cache
def portrait() -> Image.Image:
    """Return the portrait of an astronaut, 512 by 512."""
    return _open(zoo.get("astronaut"))


@cache
def scenes() -> list[Image.Image]:
    """Return a cat, a cup, a rocket and a motorcycle."""
    folder = fetched("scenes").parent
    names = ("chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
    return [_open(folder / name) for name in names]


@cache
def page() -> Image.Image:
    """Return a photo of a printed page, 384 by 191."""
    return _open(fetched("scenes").parent / "page.png")


def _open(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


@cache
def frames(video: str, step: int) -> list[Image.Image]:
    """Return every `step`-th frame of one of the zoo's videos."""
    with av.open(str(zoo.get(video))) as opened:
        every = enumerate(opened.decode(video=0))
        return [
            Image.fromarray(frame.to_ndarray(format="rgb24"))
            for index, frame in every
            if index % step == 0
        ]


def crops(image: Image.Image, count: int, seed: int, least: float = 0.5) -> list[Image.Image]:
    """Return crops of at least the share `least` of the sides, every other one mirrored."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        share = rng.uniform(least, 1.0)
        wide, tall = int(image.width * share), int(image.height * share)
        left = int(rng.integers(0, image.width - wide + 1))
        top = int(rng.integers(0, image.height - tall + 1))
        part = image.crop((left, top, left + wide, top + tall))
        found.append(part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if index % 2 else part)
    return found


def filled(images: Iterable[Image.Image], height: int, width: int) -> Pixels:
    """Return the largest centre crop of each that has the wanted shape, resized."""
    return np.stack([_filled(image, height, width) for image in images])


def _filled(image: Image.Image, height: int, width: int) -> Pixels:
    scale = min(image.width / width, image.height / height)
    wide, tall = scale * width, scale * height
    left, top = max(0, (image.width - wide) / 2), max(0, (image.height - tall) / 2)
    box = (left, top, min(left + wide, image.width), min(top + tall, image.height))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box), np.uint8)


def whole(images: Iterable[Image.Image], height: int, width: int) -> Pixels:
    """Return each picture as large as fits, at the top left of white."""
    found = np.full((0, height, width, 3), 255, np.uint8)
    rows = []
    for image in images:
        scale = min(width / image.width, height / image.height)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        pixels = np.full((height, width, 3), 255, np.uint8)
        pixels[: size[1], : size[0]] = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
        rows.append(pixels)
    return np.concatenate([found, rows]) if rows else found


def boxed(
    image: Image.Image, box: Sequence[float], margin: float, height: int, width: int
) -> Pixels:
    """Return a square around `box` (left, top, right, bottom), larger by `margin`, resized."""
    centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    half = max(box[2] - box[0], box[3] - box[1]) * (1 + margin) / 2
    area = (centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half)
    part = image.crop(tuple(round(edge) for edge in area))  # type: ignore[arg-type]
    return np.asarray(part.resize((width, height), Image.Resampling.BICUBIC), np.uint8)
