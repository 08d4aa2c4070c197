"""Lines and pages of text, drawn: pages to find text in, lines to read."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_HERSHEY = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
)
_WORDS = """
invoice total quiet river seven blue engine window paper signal market yellow nine garden memory
copper winter station under bridge silver orange travel letter morning number table simple
weather little between second north street eight doctor people coffee minute simple height level
cross pilot ocean carbon forest music value yard zebra quick fox jumps lazy dog
""".split()  # noqa: SIM905 - sixty words in quotes of their own would be a long list


def texts(count: int, seed: int, most: int = 3) -> list[str]:
    """Return `count` short texts: words, numbers, dates, prices."""
    rng = np.random.default_rng(seed)
    return [_text(rng, most) for _ in range(count)]


def _text(rng: np.random.Generator, most: int) -> str:
    words = [str(w) for w in rng.choice(_WORDS, int(rng.integers(1, most + 1)))]
    style = int(rng.integers(4))
    if style == 0:
        words = [word.capitalize() for word in words]
    elif style == 1:
        words.append(f"{rng.integers(1, 999)}.{rng.integers(0, 99):02d}")
    elif style == 2:
        words = [words[0].upper(), f"{rng.integers(1, 28):02d}/{rng.integers(1, 12):02d}/2024"]
    return " ".join(words)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _write(
    pixels: NDArray[np.uint8], text: str, place: tuple[int, int], size: int, kind: int, ink: int
) -> int:
    """Draw a text with its top left at `place` in one of five fonts; return its width."""
    x, y = place
    if kind == 0:
        image = Image.fromarray(pixels)
        draw = ImageDraw.Draw(image)
        draw.text((x, y), text, fill=(ink, ink, ink), font=_font(size))
        pixels[:] = np.asarray(image)
        return int(draw.textlength(text, font=_font(size)))
    face, scale = _HERSHEY[kind - 1], size / 30
    (wide, tall), _ = cv2.getTextSize(text, face, scale, 1)
    thick = 1 if size < 24 else 2
    cv2.putText(pixels, text, (x, y + tall), face, scale, (ink,) * 3, thick, cv2.LINE_AA)
    return int(wide)


def _paper(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Return light or dark paper with a soft gradient."""
    base = float(rng.uniform(170, 250))
    down = np.linspace(0, rng.uniform(-40, 5), height)[:, None, None]
    across = np.linspace(0, rng.uniform(-20, 5), width)[None, :, None]
    tint = rng.uniform(-10, 5, 3)
    return np.clip(base + down + across + tint, 0, 255).astype(np.uint8)


def _worn(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the picture as a camera gives it: noise, blur."""
    noisy = pixels + rng.normal(0, rng.uniform(0.5, 6), pixels.shape)
    blurred = cv2.GaussianBlur(noisy, (0, 0), float(rng.uniform(0.3, 0.9)))
    return np.clip(blurred, 0, 255).astype(np.uint8)


def line(text: str, seed: int, height: int = 48, width: int = 320) -> NDArray[np.uint8]:
    """Return one line of text ``[height, width, 3]``, from the left."""
    rng = np.random.default_rng([seed, 1])
    pixels = _paper(rng, height, width)
    kind = int(rng.integers(5))
    size = int(rng.integers(22, 32))
    while size > 10 and _write(pixels.copy(), text, (0, 0), size, kind, 0) > width - 16:
        size -= 1
    place = (int(rng.integers(4, 10)), (height - size) // 2)
    _write(pixels, text, place, size, kind, int(rng.integers(0, 80)))
    if rng.random() < 0.25:
        pixels = (255 - pixels).astype(np.uint8)
    return _worn(pixels, rng)


def lines(words: list[str], seed: int) -> NDArray[np.uint8]:
    """Return a line for each text, ``[n, 48, 320, 3]``."""
    return np.stack([line(text, seed + k) for k, text in enumerate(words)])


def paper(seed: int, height: int = 640, width: int = 640) -> NDArray[np.uint8]:
    """Return a page with texts of several sizes, some of it perhaps on a photo-like block."""
    rng = np.random.default_rng([seed, 2])
    pixels = _paper(rng, height, width)
    if rng.random() < 0.5:
        top, left = (int(v) for v in rng.integers(0, 320, 2))
        patch = rng.integers(0, 255, (6, 6, 3)).astype(np.uint8)
        block = (int(rng.integers(150, 320)), int(rng.integers(150, 320)))
        pixels[top : top + block[1], left : left + block[0]] = cv2.resize(patch, block)
    y = int(rng.integers(10, 40))
    while y < height - 50:
        size = int(rng.integers(14, 40))
        x = int(rng.integers(8, 200))
        kind, ink = int(rng.integers(5)), int(rng.integers(0, 90))
        _write(pixels, _text(rng, 4), (x, y), size, kind, ink)
        y += int(size * rng.uniform(1.3, 3.0))
    return _worn(pixels, rng)


def pages(count: int, seed: int) -> NDArray[np.uint8]:
    """Return pages ``[count, 640, 640, 3]``."""
    return np.stack([paper(seed + k) for k in range(count)])
