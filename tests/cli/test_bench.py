"""``maccel-aio bench``: it runs, and its figures hang together."""

import json

import onnx
import pytest

import maccel_aio
from maccel_aio.cli import main
from tests import networks

FAST = ["--seconds", "0.05", "--rounds", "2"]


def test_the_figures_are_printed(classifier, capsys):
    assert main(["bench", str(classifier), *FAST]) == 0
    out = capsys.readouterr().out
    for word in ("latency p50", "latency p99", "throughput", "speed run", "efficiency"):
        assert word in out


def test_a_model_that_is_not_on_the_device_is_refused(tmp_path, capsys):
    node = onnx.helper.make_node("Acos", ["x"], ["y"])
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3])
        for name in ("x", "y")
    ]
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:])
    opsets = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    maccel_aio.compile(model, tmp_path / "host.mxq", precision="float32")
    assert main(["bench", str(tmp_path / "host.mxq"), *FAST]) == 1
    assert "nothing of this model runs on the device" in capsys.readouterr().err


def test_json_has_every_figure(classifier, capsys):
    assert main(["bench", str(classifier), *FAST, "--depth", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["depth"] == 3
    assert 0 < found["latency_s"]["p50"] <= found["latency_s"]["p95"] <= found["latency_s"]["p99"]
    spread = found["throughput_per_s"]
    assert spread["low"] <= spread["median"] <= spread["high"]
    assert found["efficiency"] == pytest.approx(
        spread["median"] / found["speedrun_per_s"]["median"]
    )
    assert 0 < found["utilisation"] <= 1.5
    assert "layers" not in found
    assert "peer_ratio" not in found


def test_layers_add_up(classifier, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["bench", str(classifier), *FAST, "--layers", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    layers = found["layers"]
    names = [layer.name for layer in maccel_aio.read_manifest(classifier).layers]
    assert layers
    assert {layer["name"] for layer in layers} <= set(names)
    assert all(layer["calls"] > 0 and layer["bytes_moved"] > 0 for layer in layers)
    assert sum(layer["share"] for layer in layers) == pytest.approx(1)
    assert found["peaks"]["int8_ops"] > 0
    assert main(["bench", str(classifier), *FAST, "--layers"]) == 0
    out = capsys.readouterr().out
    assert all(layer["name"] in out for layer in layers)


def test_the_report_is_one_page(classifier, tmp_path, capsys):
    page = tmp_path / "speed.html"
    assert main(["bench", str(classifier), *FAST, "--report", str(page)]) == 0
    out = capsys.readouterr().out
    assert str(page) in out.replace("\n", "")
    assert "all layers" not in out
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "Roofline" in text


def test_a_report_that_cannot_be_written_is_an_error_before_the_rounds(
    classifier, tmp_path, capsys
):
    assert main(["bench", str(classifier), *FAST, "--report", str(tmp_path / "no" / "r.html")]) == 1
    captured = capsys.readouterr()
    assert "throughput" not in captured.out
    assert "no" in captured.err


def test_a_peer_is_measured_beside(classifier, tmp_path, capsys):
    path = tmp_path / "network.onnx"
    onnx.save(networks.classifier(), path)
    assert main(["bench", str(classifier), *FAST, "--peer", str(path)]) == 0
    assert "onnxruntime p50" in capsys.readouterr().out
    assert main(["bench", str(classifier), *FAST, "--peer", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["peer_latency_s"]["low"] > 0
    assert found["peer_ratio"]["low"] <= found["peer_ratio"]["high"]


def test_the_null_device_shows_what_the_library_itself_costs(classifier, capsys):
    assert main(["bench", str(classifier), *FAST, "--device", "null", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["device"] == "null:0"
