"""``maccel-aio compare``."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import maccel_aio
from maccel_aio import Layer
from maccel_aio.cli import main
from maccel_aio.cli.compare import layer_rows
from tests.compiler.onnx_models import Model


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """A float model, its compiled file and data."""
    m = Model({"x": (1, 3, 8, 8)})
    model = m.build(m.conv(m.add("Relu", m.conv("x", (6, 3, 3, 3))), (4, 6, 1, 1)))
    onnx.save(model, tmp_path / "m.onnx")
    arrays: dict[str, Any] = m.feed(4)
    np.savez(tmp_path / "data.npz", **arrays)
    maccel_aio.compile(model, tmp_path / "m.mxq", calibration=tmp_path / "data.npz")
    return [str(tmp_path / name) for name in ("m.onnx", "m.mxq", "data.npz")]


def test_outputs_and_layers_are_shown(files, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    real, compiled, data = files
    assert main(["compare", real, compiled, "--data", data]) == 0
    out = capsys.readouterr().out
    manifest = maccel_aio.read_manifest(compiled)
    assert manifest.variants[0].outputs[0].name in out
    assert all(layer.name in out for layer in manifest.layers if layer.sqnr_db is not None)
    assert main(["compare", real, compiled, "--data", data, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["outputs"][0]["decibel"] > 20
    assert found["layers"]


def test_what_a_layer_loses_stands_beside_it():
    layers = [
        Layer(k, f"l{k}", "Conv", "npu0", 1, "int8", (1,), db)
        for k, db in enumerate((40.0, 30.0, 35.0))
    ]
    assert [row[5] for row in layer_rows(layers)] == ["-", ("10.0", "bad"), "-"]
