"""PP-OCR: finds lines of text in pictures, tells which are upside down, and reads them.

Three networks work together: one marks the pixels of text, one looks at each line whether it has
to be turned, one reads it. They are trained on blue, green, red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL.Image import Image

    Pixels = NDArray[np.uint8]
    Box = tuple[int, int, int, int]

PREPROCESS: dict[str, Any] = {"mean": 127.5, "std": 127.5, "channels": "BGR"}
"""What all three networks want; for `maccel_aio.compile`."""

PAGE = (640, 640)
TURN = (48, 192)
LINE = (48, 640)
"""Height and width of what finds, turns and reads."""

_TEXT = 0.3
_SURE = 0.5
_TURNED = 0.9
_GROW = 1.6
"""Marks lie inside the letters: boxes grow by this times area over circumference."""

_SMALLEST = 3
_PAPER = 128


@dataclass(frozen=True)
class Line:
    """A line of text in a picture.

    Attributes:
        box: left, top, right, bottom in pixels of the picture.
        text: what it says.
        score: how sure the reader is of its letters on average, 0..1.
    """

    box: Box
    text: str
    score: float


def fit(picture: Image, size: tuple[int, int]) -> tuple[Pixels, float]:
    """Fit a picture into an input, at the top left, keeping its aspect ratio.

    Returns:
        ``[height, width, 3]`` uint8 RGB pixels, and the factor from picture to input pixels.
    """
    from PIL.Image import Resampling

    image = picture.convert("RGB")
    scale = min(size[1] / image.width, size[0] / image.height)
    shown = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    pixels = np.full((*size, 3), _PAPER, np.uint8)
    pixels[: shown[1], : shown[0]] = np.asarray(image.resize(shown, Resampling.BILINEAR))
    return pixels, scale


def find(marks: NDArray[np.float32], scale: float, size: tuple[int, int]) -> list[Box]:
    """Return the boxes of the lines in a picture, from top to bottom.

    Args:
        marks: output of the first network, ``[h, w]`` beside dimensions of 1: text or not, 0..1.
        scale: the factor that `fit` returned.
        size: width and height of the picture.
    """
    image = np.squeeze(np.asarray(marks))
    found = []
    for left, top, right, bottom in _islands(image > _TEXT):
        wide, tall = right - left, bottom - top
        if min(wide, tall) < _SMALLEST:
            continue
        inside = image[top:bottom, left:right]
        if float(inside[inside > _TEXT].mean()) < _SURE:
            continue
        grow = _GROW * wide * tall / (2 * (wide + tall))
        edges = (left - grow, top - grow, right + grow, bottom + grow)
        a, b, c, d = (round(edge / scale) for edge in edges)
        found.append((max(a, 0), max(b, 0), min(c, size[0]), min(d, size[1])))
    return sorted(found, key=lambda box: (box[1], box[0]))


def _islands(mask: NDArray[np.bool_]) -> list[Box]:
    """Return the bounding boxes of the connected parts, by runs of pixels row by row."""
    rows, starts, ends = _runs(mask)
    parent = list(range(len(rows)))

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    first = np.searchsorted(rows, np.arange(mask.shape[0] + 1))
    for k, row in enumerate(rows):
        if row + 1 >= mask.shape[0]:
            continue
        below = slice(first[row + 1], first[row + 2])
        touching = np.nonzero((starts[below] <= ends[k]) & (ends[below] >= starts[k]))[0]
        for other in touching + first[row + 1]:
            parent[root(int(other))] = root(k)
    boxes: dict[int, list[int]] = {}
    for k, row in enumerate(rows.tolist()):
        box = boxes.setdefault(root(k), [int(starts[k]), row, int(ends[k]), row + 1])
        box[0], box[2] = min(box[0], int(starts[k])), max(box[2], int(ends[k]))
        box[1], box[3] = min(box[1], row), max(box[3], row + 1)
    return [(a, b, c, d) for a, b, c, d in boxes.values()]


def _runs(mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], ...]:
    """Return row, first and behind the last pixel of every run, row by row."""
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(edges == 1)
    return rows, starts, np.nonzero(edges == -1)[1]


def cut(picture: Image, boxes: Sequence[Box]) -> list[Image]:
    """Return the lines of a picture; what is much higher than wide is laid on its side."""
    return [_laid(picture.convert("RGB").crop(box)) for box in boxes]


def _laid(line: Image) -> Image:
    return line.rotate(90, expand=True) if line.height > 1.5 * line.width else line


def stretch(line: Image, size: tuple[int, int]) -> Pixels:
    """Return a line as high as an input, squeezed to its width if it is longer: ``[h, w, 3]``."""
    from PIL.Image import Resampling

    height, width = size
    wide = min(width, max(1, round(line.width * height / line.height)))
    pixels = np.full((height, width, 3), _PAPER, np.uint8)
    pixels[:, :wide] = np.asarray(line.resize((wide, height), Resampling.BILINEAR))
    return pixels


def turned(lines: Sequence[Image], shares: NDArray[np.float32]) -> list[Image]:
    """Return the lines with those the right way up that the second network says are not.

    Args:
        lines: of `cut`.
        shares: its output, ``[n, 2]``: upright, upside down.
    """
    wrong = np.asarray(shares)[:, 1] > _TURNED
    return [line.rotate(180) if bad else line for line, bad in zip(lines, wrong, strict=True)]


def read(letters: NDArray[np.float32], alphabet: str) -> list[tuple[str, float]]:
    """Return text and score of every line, from the output of the third network.

    Equal letters side by side are one, unless a blank is between them (CTC).

    Args:
        letters: ``[n, steps, classes]``: class 0 is the blank, the last a space.
        alphabet: the letters of the classes between.
    """
    best, score = letters.argmax(axis=-1), letters.max(axis=-1)
    kept = (best != 0) & (np.diff(best, axis=1, prepend=0) != 0)
    signs = f"\0{alphabet} "
    return [
        ("".join(signs[k] for k in row[keep]), float(sure[keep].mean()) if keep.any() else 0.0)
        for row, keep, sure in zip(best, kept, score, strict=True)
    ]
