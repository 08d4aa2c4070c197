"""Drawings: what is marked is where it should be, and inputs stay as they are."""

import numpy as np
import pytest

from maccel_aio.zoo import drawing
from maccel_aio.zoo.centerface import Face

FACE = Face((60.0, 50.0, 100.0, 110.0), 0.93, np.array([[80.0, 80.0]] * 5, np.float32))


def changed(before, after):
    return (before != after).any(axis=2)


def test_a_face_gets_a_box_a_score_and_points():
    pixels = np.zeros((160, 160, 3), np.uint8)
    marks = changed(pixels, drawing.draw_faces(pixels, [FACE]))
    assert not pixels.any()
    assert marks[80, 60]
    assert marks[80, 100]
    assert marks[110, 80]
    assert marks[80, 80]
    assert marks[30:50, 60:80].any(), "the score stands above the box"
    assert not marks[60:70, 65:75].any()
    assert not marks[120:].any()


def test_no_faces_leave_the_picture_as_it_is():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    np.testing.assert_array_equal(drawing.draw_faces(pixels, []), pixels)


def test_a_face_at_the_edge_has_its_score_inside():
    pixels = np.zeros((160, 160, 3), np.uint8)
    face = Face((10.0, 2.0, 60.0, 60.0), 0.5, FACE.landmarks)
    assert changed(pixels, drawing.draw_faces(pixels, [face]))[2:16, 12:30].any()


def test_a_caption_darkens_the_bottom_only():
    pixels = np.full((100, 200, 3), 200, np.uint8)
    marks = changed(pixels, drawing.draw_caption(pixels, "25 fps"))
    assert marks[-1].all()
    assert not marks[:70].any()


@pytest.mark.parametrize("count", [1, 5, 7])
def test_a_sheet_has_a_place_for_every_tile(count):
    tiles = [(np.full((20, 20, 3), 10, np.uint8), "a" * 200, k % 2 == 0) for k in range(count)]
    sheet = drawing.contact_sheet(tiles, columns=3, side=50)
    dark = (sheet == 10).all(axis=2)
    assert dark.sum() == count * 50 * 50
    assert sheet.shape[1] == 10 + 3 * 60
    assert sheet.shape[0] == 10 + -(-count // 3) * 84


def test_lines_get_a_box_and_their_text():
    from maccel_aio.zoo.ocr import Line

    pixels = np.full((80, 200, 3), 255, np.uint8)
    drawn = drawing.draw_lines(pixels, [Line((20, 40, 150, 60), "text", 0.9)])
    assert (pixels == 255).all()
    assert (drawn[40, 20:151] != 255).any(axis=1).all()
    assert (drawn[20:40] != 255).any()
    assert (drawn[70:] == 255).all()
