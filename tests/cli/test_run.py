"""``maccel-aio run``: what comes out is what the library gives."""

import json

import anyio
import numpy as np
import pytest
from PIL import Image

import maccel_aio
from maccel_aio import sync
from maccel_aio.cli import main
from tests import networks


def expected(path, *arrays):
    with sync.load(path) as model:
        return [model.infer(array) for array in arrays]


@pytest.fixture
def arrays(tmp_path):
    made = list(networks.samples(3))
    for index, array in enumerate(made):
        np.save(tmp_path / f"x{index}.npy", array)
    return [str(tmp_path / f"x{index}.npy") for index in range(3)], made


def test_outputs_are_saved_and_are_those_of_the_library(mixed, arrays, tmp_path, capsys):
    paths, inputs = arrays
    out = tmp_path / "out"
    assert main(["run", str(mixed), "--input", *paths, "--output-dir", str(out)]) == 0
    assert "image" in capsys.readouterr().out
    for index, (image, classes) in enumerate(expected(mixed, *inputs)):
        np.testing.assert_array_equal(np.load(out / f"x{index}.image.npy"), image)
        np.testing.assert_array_equal(np.load(out / f"x{index}.classes.npy"), classes)


def test_json_has_shapes_and_the_best_elements(mixed, arrays, capsys):
    paths, inputs = arrays
    assert main(["run", str(mixed), "--input", paths[0], "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    image, classes = expected(mixed, inputs[0])[0]
    assert result["input"] == "x0"
    assert [output["name"] for output in result["outputs"]] == ["image", "classes"]
    assert result["outputs"][0]["shape"] == list(image.shape)
    assert result["outputs"][1]["max"] == pytest.approx(classes.max())
    assert result["outputs"][1]["top"][0]["index"] == classes.argmax()
    assert result["outputs"][1]["path"] is None


def test_a_picture_gives_what_its_pixels_give(classifier, tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    assert main(["run", str(classifier), "-i", str(tmp_path / "p.png"), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    (scores,) = expected(classifier, pixels)[0]
    assert result["outputs"][0]["top"][0]["index"] == scores.argmax()
    assert result["outputs"][0]["max"] == pytest.approx(scores.max())


@pytest.mark.parametrize("suffix", ["json", "txt"])
def test_labels_name_the_best_classes(classifier, tmp_path, capsys, suffix):
    names = [f"name-{k}" for k in range(10)]
    labels = tmp_path / f"labels.{suffix}"
    labels.write_text(json.dumps(names) if suffix == "json" else "\n".join(names))
    array = networks.samples(1)[0]
    np.save(tmp_path / "x.npy", array)
    arguments = ["-i", str(tmp_path / "x.npy"), "--labels", str(labels)]
    assert main(["run", str(classifier), *arguments]) == 0
    out = capsys.readouterr().out
    best = np.argsort(expected(classifier, array)[0][0], kind="stable")[::-1][:5]
    places = [out.index(f"name-{k}") for k in best]
    assert places == sorted(places)


def test_a_wrong_shape_is_one_line(mixed, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.zeros((3, 5, 5), np.float32))
    assert main(["run", str(mixed), "-i", str(tmp_path / "x.npy")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    errors = [line for line in err.splitlines() if "error:" in line]
    assert len(errors) == 1
    assert "expected" in errors[0]
    assert "(3, 5, 5)" in errors[0]


def test_an_unknown_device_is_one_line(mixed, arrays, capsys):
    assert main(["run", str(mixed), "-i", arrays[0][0], "--device", "nowhere"]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_the_library_stays_usable_in_the_process(mixed, arrays):
    main(["run", str(mixed), "-i", arrays[0][0]])

    async def again():
        async with maccel_aio.load(mixed) as model:
            return await model.infer(arrays[1][0])

    assert len(anyio.run(again)) == 2
