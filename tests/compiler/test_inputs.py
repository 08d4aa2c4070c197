"""The calibration argument: every form of it, and every way to get it wrong."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maccel_aio.compiler.inputs import CalibrationError, load_calibration
from maccel_aio.compiler.pictures import Augmentation, read_picture
from maccel_aio.compiler.preprocess import Preprocess

SHAPES = {"x": (1, 3, 8, 8)}
PLAIN = {"x": Preprocess()}


def save_picture(path: Path, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_arrays_keep_their_samples_in_order() -> None:
    data = np.arange(5 * 192, dtype=np.float64).reshape(5, 1, 3, 8, 8)
    found = load_calibration({"x": data}, SHAPES)
    assert len(found) == 5
    for index, feed in enumerate(found):
        assert feed["x"].dtype == np.float32
        np.testing.assert_array_equal(feed["x"], data[index])


def test_a_plain_array_without_batch_dimension_fits_a_model_of_one_input() -> None:
    data = np.ones((4, 3, 8, 8), np.float32)
    feed = next(iter(load_calibration(data, SHAPES)))
    assert feed["x"].shape == (1, 3, 8, 8)


def test_integer_inputs_keep_their_type() -> None:
    data = {"ids": np.arange(6).reshape(2, 3)}
    feed = load_calibration(data, {"ids": (3,)}, dtypes={"ids": np.int64}).make(1)
    assert feed["ids"].dtype == np.int64
    assert feed["ids"].tolist() == [3, 4, 5]


def test_npz_and_npy_files_are_read(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(3, 1, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "c.npz", x=data)
    np.save(tmp_path / "c.npy", data)
    for name in ("c.npz", "c.npy"):
        found = load_calibration(tmp_path / name, SHAPES)
        np.testing.assert_array_equal(found.make(2)["x"], data[2])


def test_limit_bounds_the_samples() -> None:
    assert len(load_calibration(np.zeros((9, 3, 8, 8)), SHAPES, limit=4)) == 4


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"y": np.zeros((1, 3, 8, 8))}, "inputs are"),
        ({"x": np.zeros((4, 3, 9, 9))}, "wanted"),
        ({"x": np.zeros((0, 1, 3, 8, 8))}, "no samples"),
        ({"x": np.full((1, 1, 3, 8, 8), np.nan)}, "not finite"),
        ({"x": np.array(["a"])}, "not numeric"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(source: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        load_calibration(source, SHAPES)


def test_inputs_with_different_counts_are_refused() -> None:
    source = {"a": np.zeros((2, 3)), "b": np.zeros((4, 3))}
    with pytest.raises(CalibrationError, match="different numbers"):
        load_calibration(source, {"a": (3,), "b": (3,)})


def test_a_path_that_does_not_exist_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="calibration"):
        load_calibration(tmp_path / "none", SHAPES)


@pytest.mark.parametrize(("name", "data"), [("a.txt", b"x"), ("a.npz", b"no"), ("a.npy", b"no")])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CalibrationError, match=r"a\."):
        load_calibration(tmp_path / name, SHAPES)


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(CalibrationError, match="cannot be read"):
        load_calibration(tmp_path / "p.npy", SHAPES)


def test_pictures_are_preprocessed_into_the_input_layout(tmp_path: Path) -> None:
    pixels = save_picture(tmp_path / "a.png", (8, 8))
    how = Preprocess.of({"mean": [1, 2, 3], "std": 2, "channels": "RGB", "crop": 1})
    wanted = (pixels.astype(np.float32) - [1, 2, 3]) / 2
    first = load_calibration(tmp_path, SHAPES, preprocess={"x": how}).make(0)["x"]
    np.testing.assert_allclose(first[0].transpose(1, 2, 0), wanted)
    nhwc = load_calibration(tmp_path, {"x": (1, 8, 8, 3)}, preprocess={"x": how}).make(0)["x"]
    np.testing.assert_allclose(nhwc[0], wanted)


def test_few_pictures_are_filled_up_with_the_same_changed_copies_every_time(
    tmp_path: Path,
) -> None:
    for index in range(3):
        save_picture(tmp_path / f"{index}.png", (16, 12), index)
    found = load_calibration(tmp_path, SHAPES, preprocess=PLAIN)
    assert (len(found), found.originals) == (32, 3)
    assert len(found.head(10)) == 3
    again = load_calibration(tmp_path, SHAPES, preprocess=PLAIN)
    distinct = set()
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one["x"], other["x"])
        distinct.add(one["x"].tobytes())
    assert len(distinct) == 32


def test_many_pictures_are_not_augmented(tmp_path: Path) -> None:
    for index in range(33):
        save_picture(tmp_path / f"{index:02}.png", (9, 9), index)
    found = load_calibration(tmp_path, SHAPES, preprocess=PLAIN)
    assert (len(found), found.originals) == (33, 33)


def test_bgr_is_rgb_reversed(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png", (10, 10))
    rgb = read_picture(tmp_path / "a.png", 8, 8, "RGB", 0.9)
    bgr = read_picture(tmp_path / "a.png", 8, 8, "BGR", 0.9)
    np.testing.assert_array_equal(rgb[:, :, ::-1], bgr)


def test_the_crop_is_the_usual_centre_crop(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png", (301, 200))
    side = int(200 * 224 / 256)
    with Image.open(tmp_path / "a.png") as image:
        left, top = (301 - side) // 2, (200 - side) // 2
        wanted = image.crop((left, top, left + side, top + side)).resize((64, 64), 3)
    found = read_picture(tmp_path / "a.png", 64, 64, "RGB", 0.875)
    np.testing.assert_array_equal(found, np.asarray(wanted))


def test_brightness_of_an_augmentation_scales_the_pixels(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20), (100, 100, 100)).save(tmp_path / "a.png")
    change = Augmentation(flip=True, crop=0.7, shift=(0.1, 0.9), brightness=1.2)
    assert (read_picture(tmp_path / "a.png", 8, 8, "RGB", 1.0, change) == 120).all()


def test_pictures_without_preprocessing_are_refused(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png", (8, 8))
    with pytest.raises(CalibrationError, match="--preprocess"):
        load_calibration(tmp_path, SHAPES)


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="no pictures"):
        load_calibration(tmp_path, SHAPES, preprocess=PLAIN)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff nonsense")
    with pytest.raises(CalibrationError, match=r"bad\.jpg"):
        load_calibration(tmp_path, SHAPES, preprocess=PLAIN).make(0)


def test_pictures_for_an_input_that_is_no_image_are_refused(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png", (8, 8))
    with pytest.raises(CalibrationError, match="not an image"):
        load_calibration(tmp_path, {"x": (1, 64)}, preprocess=PLAIN)


def test_channel_counts_must_agree(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png", (8, 8))
    with pytest.raises(CalibrationError, match="channels"):
        load_calibration(tmp_path, {"x": (1, 1, 8, 8)}, preprocess=PLAIN)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("data", [b"", b"hi\n", b"PK\x03\x04 cut off", b"\x93NUMPY\x01\x00"])
def test_a_damaged_file_is_refused_and_closed(tmp_path: Path, suffix: str, data: bytes) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data)
    with pytest.raises(CalibrationError, match=rf"a\.{suffix} cannot be read"):
        load_calibration(path, SHAPES)


def test_damage_inside_an_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(4, 1, 3, 8, 8)))
    whole = path.read_bytes()
    for position in range(0, len(whole), 41):
        damaged = bytearray(whole)
        damaged[position] ^= 0x5A
        path.write_bytes(damaged)
        with contextlib.suppress(CalibrationError):  # or, where the byte does not matter, works
            assert len(load_calibration(path, SHAPES)) == 4


def test_the_content_of_a_file_counts_and_not_its_name(tmp_path: Path) -> None:
    values = np.zeros((2, 1, 3, 8, 8), np.float32)
    np.save(tmp_path / "a.npy", values)
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", x=values)
    (tmp_path / "b.npz").rename(tmp_path / "b.npy")
    for name in ("a.npz", "b.npy"):
        assert len(load_calibration(tmp_path / name, SHAPES)) == 2
