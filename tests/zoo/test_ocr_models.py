"""The three networks of text, compiled for real."""

import numpy as np
import pytest
from PIL import Image

from maccel_aio import sync, zoo
from maccel_aio.zoo import _pages, ocr
from maccel_aio.zoo._ocr_models import NAMES, _pictures, _values


@pytest.mark.parametrize("name", NAMES)
def test_calibration_pictures_have_the_size_of_the_input(name):
    values = _values(_pictures(name)[:2])
    assert values.shape == (2, 1, 3, *NAMES[name])
    assert values.dtype == np.float32
    assert -1 <= values.min() < values.max() <= 1


def test_blue_comes_first():
    red = np.zeros((1, 2, 2, 3), np.uint8)
    red[..., 0] = 255
    assert _values(red)[0, 0, :, 0, 0].tolist() == [-1, -1, 1]


@pytest.mark.models
@pytest.mark.timeout(300)
def test_a_line_is_found_and_read(tmp_path):
    paths = zoo.compile_ocr(tmp_path)
    assert list(paths) == list(NAMES)
    written = {path: path.stat().st_mtime_ns for path in paths.values()}
    assert {p: p.stat().st_mtime_ns for p in zoo.compile_ocr(tmp_path).values()} == written
    page = Image.new("RGB", (400, 300), (250, 250, 245))
    from PIL import ImageDraw, ImageFont

    draw = ImageDraw.Draw(page)
    draw.text((30, 120), "WINDOW SEAT 42", fill=(20, 20, 20), font=ImageFont.load_default(34))
    with sync.Accelerator("soft:0") as device:
        models = {name: sync.load(path, accelerator=device) for name, path in paths.items()}
        pixels, scale = ocr.fit(page, ocr.PAGE)
        (box,) = ocr.find(models["ppocr_det"].infer(pixels)[0], scale, page.size)
        assert 10 < box[0] < 40
        assert 100 < box[1] < 130
        lines = ocr.cut(page, [box])
        upside_down = [line.rotate(180) for line in lines]
        for shown in (lines, upside_down):
            small = np.stack([ocr.stretch(line, ocr.TURN) for line in shown])
            found = ocr.turned(shown, models["ppocr_cls"].infer(small)[0].reshape(1, 2))
            wide = np.stack([ocr.stretch(line, ocr.LINE) for line in found])
            ((text, score),) = ocr.read(models["ppocr_rec"].infer(wide)[0], zoo.alphabet())
            assert text.replace(" ", "") == "WINDOWSEAT42"
            assert score > 0.8


def test_pages_have_text():
    assert _pages.page(0, ocr.PAGE).std() > 10
