"""Draws results into pictures: boxes with landmarks, captions, contact sheets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from maccel_aio.zoo.centerface import Face
    from maccel_aio.zoo.ocr import Line

_ACCENT = (0, 229, 160)
_POINT = (255, 196, 0)
_INK = (12, 18, 24)
_PAPER = (246, 247, 249)
_GREY = (96, 104, 114)
_RED = (208, 52, 44)


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def draw_faces(pixels: NDArray[np.uint8], faces: Sequence[Face]) -> NDArray[np.uint8]:
    """Return a copy of ``[h, w, 3]`` RGB `pixels` with a box, a score and points for each face."""
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    line = max(2, round(min(image.size) / 160))
    font = _font(max(11, min(image.size) / 28))
    for face in faces:
        draw.rounded_rectangle(face.box, radius=3 * line, outline=_ACCENT, width=line)
        for x, y in face.landmarks:
            draw.circle((float(x), float(y)), line * 1.1, fill=_POINT)
        _label(draw, (face.box[0], face.box[1]), f"{face.score:.2f}", font, line)
    return np.asarray(image, np.uint8)


def draw_lines(pixels: NDArray[np.uint8], lines: Sequence[Line]) -> NDArray[np.uint8]:
    """Return a copy of ``[h, w, 3]`` RGB `pixels` with a box and the text of each line."""
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    for line in lines:
        draw.rectangle(line.box, outline=_ACCENT, width=2)
        font = _font(max(9.0, min(24.0, (line.box[3] - line.box[1]) / 2)))
        _label(draw, (line.box[0], line.box[1]), line.text, font, 1)
    return np.asarray(image, np.uint8)


def _label(
    draw: ImageDraw.ImageDraw,
    corner: tuple[float, float],
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    line: int,
) -> None:
    """Write `text` on a plate that sits on the box at `corner`, or inside it at the top edge."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    wide, tall = right - left + 4 * line, bottom - top + 3 * line
    x, y = corner[0], corner[1] - tall if corner[1] >= tall else corner[1]
    draw.rounded_rectangle((x, y, x + wide, y + tall), radius=2 * line, fill=_ACCENT)
    draw.text((x + 2 * line - left, y + 1.5 * line - top), text, font=font, fill=_INK)


def draw_caption(pixels: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """Return a copy of ``[h, w, 3]`` RGB `pixels` with `text` on a dark strip at the bottom."""
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image, "RGBA")
    font = _font(max(11, image.height / 22))
    _, top, _, bottom = draw.textbbox((0, 0), text, font=font)
    strip = bottom - top + 10
    draw.rectangle((0, image.height - strip, image.width, image.height), fill=(*_INK, 170))
    draw.text((8, image.height - strip + 5 - top), text, font=font, fill=_PAPER)
    return np.asarray(image, np.uint8)


def contact_sheet(
    tiles: Sequence[tuple[NDArray[np.uint8], str, bool]], columns: int = 5, side: int = 168
) -> NDArray[np.uint8]:
    """Return one picture of many: each tile with its caption below, red where it is wrong.

    Args:
        tiles: ``[h, w, 3]`` RGB pixels, caption, and whether the caption is right.
        columns: tiles beside each other.
        side: width and height of a tile, in pixels.
    """
    gap, strip = 10, 24
    rows = -(-len(tiles) // columns)
    size = (gap + columns * (side + gap), gap + rows * (side + strip + gap))
    sheet = Image.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(sheet), _font(13)
    for index, (pixels, caption, right) in enumerate(tiles):
        x = gap + index % columns * (side + gap)
        y = gap + index // columns * (side + strip + gap)
        sheet.paste(Image.fromarray(pixels).resize((side, side)), (x, y))
        text = _shorten(draw, caption, font, side)
        draw.text((x, y + side + 4), text, font=font, fill=_GREY if right else _RED)
    return np.asarray(sheet, np.uint8)


def _shorten(
    draw: ImageDraw.ImageDraw,
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    width: int,
) -> str:
    if draw.textlength(text, font=font) <= width:
        return text
    while text and draw.textlength(text + "…", font=font) > width:
        text = text[:-1]
    return text.rstrip() + "…"
