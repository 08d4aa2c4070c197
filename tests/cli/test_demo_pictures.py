"""The demo's pictures, without a model where that is possible."""

from pathlib import Path

import numpy as np
from PIL import Image

from maccel_aio.cli import _demo_pictures
from maccel_aio.cli._demo_pictures import Guess


def test_best_classes_are_probabilities_in_order():
    logits = np.log(np.array([0.05, 0.5, 0.1, 0.2, 0.05, 0.1], np.float32))
    best = _demo_pictures.best_classes(logits)
    assert [number for number, _ in best[:2]] == [1, 3]
    assert len(best) == 5
    np.testing.assert_allclose([share for _, share in best], [0.5, 0.2, 0.1, 0.1, 0.05], rtol=1e-5)


def test_huge_logits_do_not_overflow():
    assert _demo_pictures.best_classes(np.array([1e4, 0, 0, 0, 0], np.float32))[0] == (0, 1.0)


def test_the_sheet_is_a_picture_of_all_photos(tmp_path):
    pixels = np.zeros((224, 224, 3), np.uint8)
    guesses = [Guess(Path(f"a_{k}.jpg"), k, [(0, 0.9)], pixels) for k in range(6)]
    assert [guess.is_right for guess in guesses] == [True] + [False] * 5
    _demo_pictures.draw_sheet(guesses, ["cat"], tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height < sheet.width


async def test_photos_keep_their_order(classifier, tmp_path, monkeypatch):
    import maccel_aio

    monkeypatch.setattr("maccel_aio.zoo.efficientnet_lite0.SIZE", 32)
    rng = np.random.default_rng(0)
    photos = [tmp_path / f"photo_{number}.png" for number in (3, 1, 2)]
    for photo in photos:
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(photo)
    seen: list[int] = []
    async with maccel_aio.load(classifier) as model:
        guesses = await _demo_pictures.classify_photos(model, photos, seen.append)
        assert [guess.photo for guess in guesses] == photos
        assert [guess.truth for guess in guesses] == [3, 1, 2]
        assert seen == [1, 2, 3]
        for guess in guesses:
            (logits,) = await model.infer(guess.pixels)
            assert guess.top == _demo_pictures.best_classes(logits)
