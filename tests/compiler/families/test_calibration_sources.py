"""Where calibration samples come from, and what is said when they do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from maccel_aio.compiler.inputs import CalibrationError
from tests.compiler.families.harness import compiled
from tests.compiler.onnx_models import Model

IMAGE = (1, 3, 8, 10)
GIVEN = {"mean": 127, "std": 64}


def _model(shape: tuple[int, ...] = IMAGE) -> tuple[Model, Any]:
    m = Model({"x": shape})
    return m, m.build(m.conv("x", (4, shape[1], 3, 3)))


def _samples(count: int = 5) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(count, *IMAGE)).astype(np.float32)


def _file_of(source: Any, **how: Any) -> bytes:
    return compiled(_model()[1], calibration=source, name="m", **how).data


def test_every_form_of_the_same_samples_gives_the_same_file(tmp_path):
    data = _samples()
    np.save(tmp_path / "one.npy", data)
    np.savez(tmp_path / "plain.npz", x=data)
    np.savez_compressed(tmp_path / "packed.npz", x=data)
    forms: list[Any] = [
        data, {"x": data}, {"x": list(data)}, data[:, 0], {"x": data[:, 0]}, data[::-1][::-1],
        tmp_path / "one.npy", str(tmp_path / "plain.npz"), tmp_path / "packed.npz",
        np.asfortranarray(data), data.astype(np.float64),
    ]  # fmt: skip
    want = _file_of(data)
    assert [k for k, form in enumerate(forms) if _file_of(form) != want] == []


def test_integers_are_samples_too():
    data = np.random.default_rng(7).integers(-50, 50, (5, *IMAGE))
    assert _file_of(data) == _file_of(data.astype(np.float32)) == _file_of(data.astype(np.int8))


def test_samples_do_not_change(tmp_path):
    data = _samples()
    before = data.copy()
    data.setflags(write=False)
    _file_of(data)
    np.testing.assert_array_equal(data, before)


@pytest.mark.parametrize(
    ("source", "match"),
    [
        (_samples()[..., :5], r"calibration has shape \[5, 1, 3, 8, 5\], wanted \[samples, 1, 3"),
        (_samples()[:, 0, 0], "wanted"),
        (np.zeros((0, *IMAGE), np.float32), "no samples"),
        (np.float32(3), "calibration has shape"),
        (np.array(["a"]), "not numeric"),
        (np.zeros((2, *IMAGE), np.complex64), "not numeric"),
        (np.array([None]), "not numeric"),
        (np.full((2, *IMAGE), np.nan, np.float32), "not finite"),
        (np.full((2, *IMAGE), np.inf, np.float32), "not finite"),
        ({"y": _samples()}, r"calibration has \['y'\], the model's inputs are \['x'\]"),
        ({"x": _samples(), "y": _samples()}, r"calibration has \['x', 'y'\]"),
        ({}, r"calibration has \[\]"),
        ({"x": [np.zeros(3), np.zeros(4)]}, "x"),
        ({"x": None}, "x"),
    ],
)
def test_arrays_that_do_not_fit(source, match):
    with pytest.raises(CalibrationError, match=match):
        _file_of(source)


def _damaged(tmp_path, kind: str):
    whole = tmp_path / "whole.npz"
    np.savez_compressed(whole, x=_samples())
    data = bytearray(whole.read_bytes())
    whole.unlink()
    path = tmp_path / f"{kind}.npz"
    if kind == "empty":
        data = bytearray()
    elif kind == "cut":
        data = data[: len(data) // 2]
    elif kind == "flipped":
        for k in range(len(data) // 3, len(data) // 3 + 40):
            data[k] ^= 0x5A
    elif kind == "text":
        data = bytearray(b"PK but no archive")
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize("kind", ["empty", "cut", "flipped", "text"])
def test_archives_that_are_damaged(tmp_path, kind):
    path = _damaged(tmp_path, kind)
    with pytest.raises(CalibrationError, match=rf"{kind}.npz cannot be read"):
        _file_of(path)


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x01\x00\x76\x00{'descr'"])
def test_arrays_that_are_damaged(tmp_path, data):
    path = tmp_path / "bad.npy"
    path.write_bytes(data)
    with pytest.raises(CalibrationError, match=r"bad\.npy cannot be read"):
        _file_of(path)


def test_pickles_are_never_loaded(tmp_path):
    path = tmp_path / "objects.npy"
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(CalibrationError, match="cannot be read"):
        _file_of(path)


def test_other_kinds_of_files(tmp_path):
    (tmp_path / "data.csv").write_text("1,2,3")
    with pytest.raises(CalibrationError, match=r"a directory of pictures, a \.npz or a \.npy"):
        _file_of(tmp_path / "data.csv")
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        _file_of(tmp_path / "none.npz")


def _pictures(folder, count: int = 3, *, mode: str = "RGB", suffix: str = "png") -> None:
    rng = np.random.default_rng(3)
    for k in range(count):
        image = Image.fromarray(rng.integers(0, 256, (12 + k, 14, 3), np.uint8)).convert(mode)
        image.save(folder / f"{k}.{suffix}")


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1"])
def test_pictures_of_every_mode(tmp_path, mode):
    _pictures(tmp_path, mode=mode)
    found = compiled(_model()[1], calibration=tmp_path, preprocess=GIVEN)
    assert found.report.samples == 32
    assert found.file.variant["inputs"][0]["device_dtype"] == "uint8"


def test_pictures_and_other_files_lie_together(tmp_path):
    _pictures(tmp_path)
    before = _file_of(tmp_path, preprocess=GIVEN)
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "folder.png").mkdir()
    assert _file_of(tmp_path, preprocess=GIVEN) == before


def test_a_folder_without_pictures(tmp_path):
    with pytest.raises(CalibrationError, match="has no pictures"):
        _file_of(tmp_path, preprocess=GIVEN)


def test_pictures_without_preprocessing(tmp_path):
    _pictures(tmp_path)
    with pytest.raises(CalibrationError, match="pictures need the preprocessing of input 'x'"):
        _file_of(tmp_path)


def test_pictures_for_what_is_no_image(tmp_path):
    _pictures(tmp_path)
    m = Model({"x": (1, 5)})
    with pytest.raises(CalibrationError, match="is not an image"):
        compiled(m.build(m.add("MatMul", "x", m.random(5, 3))), calibration=tmp_path)
    m = Model({"x": IMAGE, "y": IMAGE})
    with pytest.raises(CalibrationError, match="this one has 2"):
        compiled(m.build(m.add("Add", "x", "y")), calibration=tmp_path)


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"not a picture at all"])
def test_a_damaged_picture_is_named(tmp_path, data):
    _pictures(tmp_path)
    (tmp_path / "1.png").write_bytes(data)
    with pytest.raises(CalibrationError, match=r"1\.png cannot be read"):
        _file_of(tmp_path, preprocess=GIVEN)


def test_a_picture_that_is_cut_off_is_named(tmp_path):
    _pictures(tmp_path)
    data = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(CalibrationError, match=r"2\.png cannot be read"):
        _file_of(tmp_path, preprocess=GIVEN)


def test_several_inputs_need_the_same_number_of_samples():
    m = Model({"x": (1, 4), "y": (1, 4)})
    model = m.build(m.add("Add", "x", "y"))
    rows = np.ones((3, 1, 4), np.float32)
    with pytest.raises(CalibrationError, match="different numbers of samples"):
        compiled(model, calibration={"x": rows, "y": rows[:2]})
    with pytest.raises(CalibrationError, match="the model has 2 inputs"):
        compiled(model, calibration=rows)
    assert compiled(model, calibration={"x": rows, "y": rows[:, 0]}).report.samples == 3


def test_scalars_have_one_sample_axis():
    m = Model({"x": ()})
    model = m.build(m.add("Exp", "x"))
    found = compiled(model, calibration=np.array([0.5, 1.0, 2.0], np.float32))
    assert found.report.samples == 3
    with pytest.raises(CalibrationError, match="calibration has shape"):
        compiled(model, calibration=np.float32(1.0))
