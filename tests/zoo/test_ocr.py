"""Boxes out of marks, lines out of pictures, texts out of letters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maccel_aio.zoo import _pages, ocr


def blobs(*boxes, size=(64, 96)):
    marks = np.zeros(size, np.float32)
    for left, top, right, bottom in boxes:
        marks[top:bottom, left:right] = 0.9
    return marks


def test_every_island_is_a_line_with_a_margin():
    marks = blobs((10, 5, 40, 11), (10, 30, 70, 38))
    first, second = ocr.find(marks[None, None], 1.0, (96, 64))
    for box, (left, top, right, bottom) in zip(
        (first, second), ((10, 5, 40, 11), (10, 30, 70, 38)), strict=True
    ):
        grow = round(1.6 * (right - left) * (bottom - top) / (2 * (right - left + bottom - top)))
        assert box == (
            max(left - grow, 0), max(top - grow, 0), right + grow, bottom + grow,
        )  # fmt: skip


def test_boxes_are_in_pixels_of_the_picture():
    (box,) = ocr.find(blobs((20, 20, 60, 28)), 0.5, (192, 128))
    (same,) = ocr.find(blobs((20, 20, 60, 28)), 1.0, (96, 64))
    assert box == pytest.approx(tuple(2 * v for v in same), abs=1)


def test_parts_that_touch_at_a_corner_or_come_together_later_are_one():
    marks = np.zeros((20, 20), np.float32)
    marks[2:8, 2:5] = marks[2:8, 9:12] = marks[7:9, 2:12] = 1
    marks[9:14, 12:15] = 1
    assert len(ocr.find(marks, 1.0, (20, 20))) == 1


@pytest.mark.parametrize("weak", [blobs((3, 3, 5, 40)), blobs((10, 10, 40, 20)) * 0.45, blobs()])
def test_thin_faint_and_missing_marks_are_no_lines(weak):
    assert ocr.find(weak, 1.0, (96, 64)) == []


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.02, 0.6))
def test_islands_are_those_of_a_flood(seed, share):
    rng = np.random.default_rng(seed)
    mask = rng.random((9, 13)) < share
    left, found = {(int(y), int(x)) for y, x in np.argwhere(mask)}, []
    while left:
        edge, part = [left.pop()], []
        while edge:
            y, x = edge.pop()
            part.append((y, x))
            near = {(y + a, x + b) for a in (-1, 0, 1) for b in (-1, 0, 1)} & left
            left -= near
            edge.extend(near)
        ys, xs = zip(*part, strict=True)
        found.append((min(xs), min(ys), max(xs) + 1, max(ys) + 1))
    assert sorted(ocr._islands(mask)) == sorted(found)


def test_pictures_are_fitted_and_lines_stretched():
    picture = Image.new("RGB", (200, 100), (255, 0, 0))
    pixels, scale = ocr.fit(picture, (60, 80))
    assert pixels.shape == (60, 80, 3)
    assert scale == 0.4
    assert (pixels[:40] == (255, 0, 0)).all()
    assert (pixels[40:] == 128).all()
    line = ocr.stretch(picture, (50, 300))
    assert (line[:, :100] == (255, 0, 0)).all()
    assert (line[:, 100:] == 128).all()
    assert (ocr.stretch(picture, (50, 60)) == (255, 0, 0)).all()


def test_upright_columns_are_laid_on_their_side_and_turned_lines_turned():
    picture = Image.new("RGB", (100, 100))
    wide, tall = ocr.cut(picture, [(0, 0, 60, 20), (0, 0, 20, 60)])
    assert wide.size == tall.size == (60, 20)
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[0, 0] = 255
    image = Image.fromarray(pixels)
    shares = np.array([[0.95, 0.05], [0.05, 0.95], [0.3, 0.7]], np.float32)
    corners = [np.asarray(line)[-1, -1, 0] for line in ocr.turned([image] * 3, shares)]
    assert corners == [0, 255, 0]


def test_letters_are_joined_unless_a_blank_is_between():
    classes = [0, 1, 1, 0, 1, 2, 4, 3, 3, 0]
    letters = np.full((2, len(classes), 5), 0.02, np.float32)
    letters[0, range(len(classes)), classes] = 0.9
    letters[1, :, 0] = 0.9
    (text, score), nothing = ocr.read(letters, "abc")
    assert text == "aab c"
    assert score == pytest.approx(0.9)
    assert nothing == ("", 0.0)


def test_pages_and_lines_are_the_same_for_the_same_seed():
    assert (_pages.page(1, (64, 96)) == _pages.page(1, (64, 96))).all()
    assert (_pages.page(1, (64, 96)) != _pages.page(2, (64, 96))).any()
    upright, turned = _pages.line(3, (48, 200)), _pages.line(3, (48, 200), turned=True)
    assert upright.shape == turned.shape == (48, 200, 3)
    assert upright.dtype == np.uint8
    dark = [int((image.mean(axis=2) < 100)[:, :100].sum()) for image in (upright, turned)]
    assert dark[0] != dark[1]
