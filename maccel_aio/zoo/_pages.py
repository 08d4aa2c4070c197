"""Pages and lines of text, drawn: what calibrates networks that find and read text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

_WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "while",
    "seven",
    "wizards",
    "pack",
    "my",
    "box",
    "with",
    "five",
    "dozen",
    "jugs",
    "of",
    "liquid",
    "and",
    "Price",
    "12.50",
    "Total",
    "1,204.99",
    "No.",
    "37",
    "OPEN",
    "24/7",
    "Street",
    "Platform",
    "9",
    "(since",
    "1887)",
    "WARNING:",
    "do",
    "not",
    "touch!",
    "Tel",
    "+49",
    "30",
    "5556",
    "-",
    "Re:",
    "Invoice",
    "#4711",
    "@",
    "09:45",
]


def page(seed: int, size: tuple[int, int]) -> Pixels:
    """Return ``[h, w, 3]`` RGB pixels with lines of text of several sizes and inks."""
    rng = np.random.default_rng(seed)
    height, width = size
    paper = tuple(int(v) for v in rng.integers(170, 256, 3))
    image = Image.new("RGB", (width, height), paper)
    draw, y = ImageDraw.Draw(image), int(rng.integers(8, 40))
    while y < height - 24:
        points = int(rng.integers(14, 44))
        _write(draw, rng, (int(rng.integers(4, width // 3)), y), points)
        y += int(points * rng.uniform(1.3, 2.6))
    return _worn(image, rng)


def line(seed: int, size: tuple[int, int], *, turned: bool = False) -> Pixels:
    """Return ``[h, w, 3]`` RGB pixels with one line of text, perhaps upside down."""
    rng = np.random.default_rng(seed)
    paper = tuple(int(v) for v in rng.integers(150, 256, 3))
    image = Image.new("RGB", (size[1], size[0]), paper)
    points = int(rng.integers(size[0] * 5 // 10, size[0] * 8 // 10))
    _write(ImageDraw.Draw(image), rng, (int(rng.integers(2, 10)), (size[0] - points) // 2), points)
    return _worn(image.rotate(180) if turned else image, rng)


def _write(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, place: tuple[int, int], points: int
) -> None:
    words = " ".join(str(word) for word in rng.choice(_WORDS, int(rng.integers(1, 6))))
    ink = tuple(int(v) for v in rng.integers(0, 90, 3))
    draw.text(place, words, fill=ink, font=ImageFont.load_default(points))


def _worn(image: Image.Image, rng: np.random.Generator) -> Pixels:
    """Return the picture as a camera gives it: blur, noise."""
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 0.9)))))
    noisy = blurred + rng.normal(0, rng.uniform(0.5, 5), blurred.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
