"""``maccel-aio summary``."""

import json

import pytest

import maccel_aio
from maccel_aio.cli import main
from maccel_aio.cli.summary import preprocess_text, shape_text


def test_the_summary_names_tensors_and_layers(mixed, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["summary", str(mixed)]) == 0
    out = capsys.readouterr().out
    manifest = maccel_aio.read_manifest(mixed)
    for name in ("input", "image", "classes", "1x5x16x16", "1x17"):
        assert name in out
    assert all(layer.name in out for layer in manifest.layers)
    assert str(mixed.stat().st_size // 1000) in out


def test_the_layer_table_can_be_left_out(mixed, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["summary", str(mixed), "--no-layers"]) == 0
    out = capsys.readouterr().out
    assert "1x5x16x16" in out
    assert "MMACs" not in out


def test_json_holds_what_the_file_says(mixed, capsys):
    assert main(["summary", str(mixed), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    manifest = maccel_aio.read_manifest(mixed)
    assert found["name"] == manifest.name
    assert found["file_bytes"] == mixed.stat().st_size
    assert found["variants"][0]["inputs"][0]["shape"] == [1, 3, 32, 32]
    assert [output["name"] for output in found["variants"][0]["outputs"]] == ["image", "classes"]
    assert len(found["layers"]) == len(manifest.layers) > 0
    assert found["macs"] == sum(layer.macs for layer in manifest.layers) > 0


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "0 bytes are no model"), (b"MXQ\0" * 9, "vendor"), (b"PK\x03\x04" * 9, "not a model")],
)
def test_what_is_no_model_is_an_error_with_path_and_reason(data, message, tmp_path, capsys):
    path = tmp_path / "m.mxq"
    path.write_bytes(data)
    assert main(["summary", str(path)]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert "m.mxq" in err


def test_shapes_for_people():
    assert shape_text((1, 3, 224)) == "1x3x224"
    assert shape_text(()) == "scalar"


@pytest.mark.parametrize(
    ("how", "text"),
    [
        (None, "-"),
        ({"channels": "RGB", "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}, "RGB"),
        ({"channels": "RGB", "mean": [127.0] * 3, "std": [128.0] * 3}, "RGB - 127 / 128"),
        ({"channels": "BGR", "mean": [123.7, 116, 104], "std": 1}, "BGR - [123.7 116 104]"),
        ({"channels": "GRAY", "mean": 0, "std": 255}, "GRAY / 255"),
        ({"channels": "RGB"}, "RGB"),
    ],
)
def test_preprocessing_for_people(how, text):
    assert preprocess_text(how) == text
