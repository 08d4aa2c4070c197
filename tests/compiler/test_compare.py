"""A compiled file beside its float model."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import maccel_aio
from maccel_aio.compiler.calibration import open_session
from maccel_aio.compiler.compare import compare
from maccel_aio.compiler.report import sqnr_db
from maccel_aio.errors import CompileError, InvalidError
from tests.compiler.device import File
from tests.compiler.onnx_models import Model


def network() -> tuple[Model, onnx.ModelProto]:
    m = Model({"x": (1, 3, 16, 20)})
    t = m.add("Relu", m.conv("x", (8, 3, 3, 3), pads=[1] * 4))
    first = m.conv(t, (4, 8, 1, 1))
    return m, m.build(first, m.add("Flatten", m.add("GlobalAveragePool", t)))


def test_every_output_is_compared_on_the_data_that_is_given(tmp_path: Path) -> None:
    m, model = network()
    path = tmp_path / "m.mxq"
    maccel_aio.compile(model, path, calibration=m.feed(8), measure=0)
    data = m.feed(5)
    found = compare(model, path, data)
    session, file = open_session(model), File(path.read_bytes())
    assert [output.name for output in found] == [o.name for o in model.graph.output]
    for k, output in enumerate(found):
        exact, device = [], []
        for sample in data["x"]:
            exact.append(session.run(None, {"x": sample})[k].ravel())
            device.append(file.run({"x": sample})[k].ravel())
        wanted = sqnr_db(np.concatenate(exact), np.concatenate(device))
        assert output.decibel == pytest.approx(wanted, abs=1e-3)
        assert output.worst_decibel <= output.decibel
        error = max(float(np.abs(e - d).max()) for e, d in zip(exact, device, strict=True))
        assert output.largest_error == pytest.approx(error, rel=1e-4)
        same = np.mean([e.argmax() == d.argmax() for e, d in zip(exact, device, strict=True)])
        assert output.same_largest == pytest.approx(same)


def test_pictures_are_prepared_as_the_file_says(tmp_path: Path) -> None:
    _, model = network()
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for k in range(3):
        pixels = rng.integers(0, 256, (16, 20, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    path = tmp_path / "m.mxq"
    how = {"mean": 127, "std": 64}
    maccel_aio.compile(model, path, calibration=folder, preprocess=how, measure=0)
    assert all(output.decibel > 25 for output in compare(model, path, folder))


def test_another_model_is_refused(tmp_path: Path) -> None:
    m, model = network()
    path = tmp_path / "m.mxq"
    maccel_aio.compile(model, path, calibration=m.feed(4), measure=0)
    other = Model({"x": (1, 3, 16, 20)})
    other.add("Identity", "x")
    with pytest.raises(InvalidError, match="not made of this model"):
        compare(other.build(other.conv("x", (4, 3, 1, 1))), path, m.feed(2))
    renamed = Model({"y": (1, 3, 16, 20)})
    with pytest.raises(CompileError, match="inputs are"):
        compare(renamed.build(renamed.conv("y", (4, 3, 1, 1))), path, m.feed(2))
