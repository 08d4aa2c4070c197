"""Pictures and their changed copies."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maccel_aio.compiler.pictures import Augmentation, find_pictures, read_picture


def test_only_pictures_are_found_sorted_by_name(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "notes.txt", "c.webp"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in find_pictures(tmp_path)] == ["a.jpg", "b.PNG", "c.webp"]


def test_augmentations_stay_within_their_bounds_and_differ() -> None:
    drawn = [Augmentation.draw(seed) for seed in range(200)]
    assert all(0.6 <= change.crop <= 1.0 for change in drawn)
    assert all(0.7 <= change.brightness <= 1.3 for change in drawn)
    assert all(0 <= part <= 1 for change in drawn for part in change.shift)
    assert {change.flip for change in drawn} == {True, False}
    assert len(set(drawn)) == 200
    assert Augmentation.draw(7) == drawn[7]


def test_a_flip_mirrors_left_and_right(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    change = Augmentation(flip=True, crop=1.0, shift=(0.0, 0.0), brightness=1.0)
    found = read_picture(tmp_path / "a.png", 8, 8, "RGB", 1.0, change)
    np.testing.assert_array_equal(found, pixels[:, ::-1])


@pytest.mark.parametrize("shift", [(0.0, 0.0), (1.0, 1.0), (0.3, 0.8)])
@pytest.mark.parametrize("size", [(64, 48), (31, 97), (1, 1)])
def test_crops_never_leave_the_picture(
    tmp_path: Path, size: tuple[int, int], shift: tuple[float, float]
) -> None:
    Image.new("RGB", size, (50, 60, 70)).save(tmp_path / "a.png")
    change = Augmentation(flip=False, crop=0.6, shift=shift, brightness=1.0)
    found = read_picture(tmp_path / "a.png", 16, 12, "RGB", 0.875, change)
    # Outside of the picture there would be black.
    assert (found == [50, 60, 70]).all()


def test_gray_pictures_have_one_channel_and_gray_files_make_rgb(tmp_path: Path) -> None:
    Image.new("L", (10, 10), 77).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", 4, 6, "GRAY", 1.0).shape == (4, 6, 1)
    assert (read_picture(tmp_path / "a.png", 4, 6, "RGB", 1.0) == 77).all()
