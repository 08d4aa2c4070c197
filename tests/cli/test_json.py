"""``--json`` of every command: one document of standard JSON with the promised keys, no more."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

import maccel_aio
from maccel_aio import zoo
from maccel_aio.cli import main
from maccel_aio.cli._console import JsonConsole
from tests import networks


def document(arguments, capsys):
    """Run a command with --json; return what it printed, which is one strict JSON object."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert isinstance(found, dict)
    return found


def two_inputs():
    """An image and a vector, added up: the model takes both in one request."""
    b = networks.Builder(7)
    image = b.node("Relu", b.conv("picture", (3, 6), 3))
    pooled = b.node("Flatten", b.node("GlobalAveragePool", image))
    b.ends = (b.node("Add", pooled, "bias"), image)
    return b.model(
        {"picture": (1, 3, 32, 32), "bias": (1, 6)}, {"sum": (1, 6), "image/raw": (1, 6, 32, 32)}
    )


def with_cpu_segment():
    """A convolution, then an operator that the NPU lacks, then another convolution."""
    b = networks.Builder(9)
    first = b.conv("input", (3, 4), 3)
    b.weights.append(helper.make_tensor("axis", TensorProto.INT64, [], [3]))
    middle = b.node("CumSum", first, "axis")
    b.ends = (b.conv(middle, (4, 2), 1),)
    return b.model({"input": (1, 3, 32, 32)}, {"y": (1, 2, 32, 32)})


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    folder = tmp_path_factory.mktemp("json")
    samples = networks.samples(4)
    bias = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6)
    maccel_aio.compile(
        two_inputs(), folder / "two.mxq", calibration={"picture": samples, "bias": bias}
    )
    maccel_aio.compile(with_cpu_segment(), folder / "cpu.mxq", calibration={"input": samples})
    np.save(folder / "picture.npy", samples[0])
    np.save(folder / "bias.npy", bias[0])
    np.save(folder / "batch.npy", samples)
    onnx.save(networks.classifier(), folder / "net.onnx")
    np.savez(folder / "samples.npz", input=samples)
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")
    return folder


# ---- compile


def test_compile_reports_every_layer_and_the_whole(room, tmp_path, capsys):
    arguments = ["compile", str(room / "net.onnx"), "-o", str(tmp_path / "m.mxq")]
    found = document([*arguments, "--calibration", str(room / "samples.npz")], capsys)
    assert set(found) >= {
        *("name", "path", "layers", "output_sqnr_device_db", "file_bytes", "arena_bytes"),
        *("samples", "seconds", "warnings", "macs", "weight_bytes", "npu_share", "int8_share"),
    }
    assert found["path"] == str(tmp_path / "m.mxq")
    assert found["file_bytes"] == (tmp_path / "m.mxq").stat().st_size
    assert found["npu_share"] == found["int8_share"] == 1
    assert found["samples"] == 4
    assert found["output_sqnr_device_db"]["scores"] > 20
    assert [layer["index"] for layer in found["layers"]] == list(range(len(found["layers"])))
    for layer in found["layers"]:
        assert set(layer) >= {"name", "op", "where", "reason", "precision", "macs", "weight_bytes"}
        assert layer["where"] == "npu"
        assert layer["reason"] == ""


def test_compile_says_why_a_layer_runs_on_the_host(tmp_path, room, capsys):
    onnx.save(with_cpu_segment(), tmp_path / "m.onnx")
    arguments = ["compile", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.mxq")]
    found = document([*arguments, "--calibration", str(room / "samples.npz")], capsys)
    hosted = [layer for layer in found["layers"] if layer["where"] == "cpu"]
    assert hosted
    assert all(layer["reason"] for layer in hosted)
    assert {layer["precision"] for layer in hosted} == {"cpu"}


def test_a_shape_option_wins_over_the_model(tmp_path, capsys):
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2, 3, 1, 1], [0.5] * 6)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "free",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weight],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, tmp_path / "m.onnx")
    np.save(tmp_path / "c.npy", np.random.default_rng(0).random((4, 3, 24, 40), np.float32))
    arguments = ["compile", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.mxq")]
    arguments += ["--calibration", str(tmp_path / "c.npy"), "--shape", "x=1x3x24x40"]
    document(arguments, capsys)
    (variant,) = document(["summary", str(tmp_path / "m.mxq")], capsys)["variants"]
    assert variant["inputs"][0]["shape"] == [1, 3, 24, 40]
    assert variant["outputs"][0]["shape"] == [1, 2, 24, 40]


# ---- summary


def test_summary_of_one_segment(classifier, capsys):
    found = document(["summary", str(classifier)], capsys)
    assert set(found) == {
        *("path", "name", "file_bytes", "profile", "core_modes", "macs", "variants", "layers"),
        "provenance",
    }
    (variant,) = found["variants"]
    assert [segment["kind"] for segment in variant["segments"]] == ["npu"]
    assert variant["inputs"][0]["preprocess"]["channels"] == "RGB"
    assert set(found["core_modes"]) >= {"single", "auto"}
    assert len(found["provenance"]["source_sha256"]) == 64


def test_summary_of_several_segments_says_what_runs_where(room, capsys):
    found = document(["summary", str(room / "cpu.mxq")], capsys)
    segments = found["variants"][0]["segments"]
    assert [segment["kind"] for segment in segments] == ["npu", "cpu", "npu"]
    assert [bool(segment["reason"]) for segment in segments] == [False, True, False]
    assert main(["summary", str(room / "cpu.mxq")]) == 0
    out = capsys.readouterr().out
    assert "segments" in out
    assert "CPU" in out
    assert segments[1]["reason"].split()[0] in out


# ---- run


def test_several_inputs_go_into_one_request(room, capsys):
    pair = [str(room / "picture.npy"), str(room / "bias.npy")]
    found = document(["run", str(room / "two.mxq"), "-i", *pair], capsys)
    (result,) = found["results"]
    assert result["input"] == "picture"
    assert [output["name"] for output in result["outputs"]] == ["sum", "image/raw"]
    named = ["run", str(room / "two.mxq"), "-i", f"bias={pair[1]}", f"picture={pair[0]}"]
    assert document(named, capsys) == found
    for output in result["outputs"]:
        assert set(output) == {"name", "shape", "dtype", "min", "mean", "max", "top", "path"}
        assert output["min"] <= output["mean"] <= output["max"]
        assert output["top"][0]["value"] == output["max"]
        assert output["path"] is None


def test_an_output_whose_name_is_no_file_name_is_saved_all_the_same(room, tmp_path, capsys):
    pair = [str(room / "picture.npy"), str(room / "bias.npy")]
    arguments = ["run", str(room / "two.mxq"), "-i", *pair, "--output-dir", str(tmp_path / "o")]
    (result,) = document(arguments, capsys)["results"]
    paths = [output["path"] for output in result["outputs"]]
    assert sorted(os.listdir(tmp_path / "o")) == ["picture.image_raw.npy", "picture.sum.npy"]
    for output, path in zip(result["outputs"], paths, strict=True):
        array = np.load(path)
        assert list(array.shape) == output["shape"]
        assert float(array.max()) == output["max"]


def test_a_batch_is_one_request(classifier, room, capsys):
    (result,) = document(["run", str(classifier), "-i", str(room / "batch.npy")], capsys)["results"]
    assert result["outputs"][0]["shape"] == [4, 10]


def test_files_of_one_name_never_overwrite_each_other(classifier, room, tmp_path, capsys):
    places = [tmp_path / "p" / "a.npy", tmp_path / "q" / "a.npy", tmp_path / "q" / "a-2.npy"]
    for number, place in enumerate(places):
        place.parent.mkdir(exist_ok=True)
        np.save(place, networks.samples(1, seed=number)[0])
    arguments = ["run", str(classifier), "-i", *map(str, places), "-o", str(tmp_path / "o")]
    found = document(arguments, capsys)["results"]
    assert [result["input"] for result in found] == ["a", "a-3", "a-2"]
    assert len(os.listdir(tmp_path / "o")) == 3
    alone = [
        document(["run", str(classifier), "-i", str(place)], capsys)["results"][0]["outputs"][0]
        for place in places
    ]
    for result, expected in zip(found, alone, strict=True):
        assert result["outputs"][0]["max"] == expected["max"]


def test_pictures_and_arrays_may_be_mixed(classifier, room, capsys):
    inputs = [str(room / "photo.png"), str(room / "picture.npy")]
    found = document(["run", str(classifier), "-i", *inputs], capsys)["results"]
    assert [result["input"] for result in found] == ["photo", "picture"]


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_every_way_to_fit_a_picture_gives_an_answer(classifier, room, fit, capsys):
    arguments = ["run", str(classifier), "-i", str(room / "photo.png"), "--fit", fit]
    (result,) = document(arguments, capsys)["results"]
    assert result["outputs"][0]["shape"] == [10]


# ---- bench


def test_bench_has_percentiles_throughput_efficiency_and_utilisation(classifier, capsys):
    arguments = ["bench", str(classifier), "--seconds", "0.05", "--rounds", "1"]
    found = document(arguments, capsys)
    assert set(found["latency_s"]) == {"p50", "p95", "p99"}
    assert all(value > 0 for value in found["latency_s"].values())
    for figure in ("throughput_per_s", "speedrun_per_s"):
        assert set(found[figure]) == {"median", "low", "high"}
        assert found[figure]["low"] > 0
    assert found["efficiency"] > 0
    assert found["utilisation"] > 0
    assert {"model", "device", "cores", "depth"} <= set(found)


def test_bench_measures_models_with_host_segments(room, capsys):
    arguments = ["bench", str(room / "cpu.mxq"), "--seconds", "0.05", "--rounds", "1"]
    assert document(arguments, capsys)["throughput_per_s"]["median"] > 0


# ---- devices, zoo


def test_devices_tell_cores_and_instruction_sets(capsys):
    found = document(["devices", "soft:0", "null"], capsys)
    assert set(found) == {"devices", "isa", "detected_isa"}
    for device in found["devices"]:
        assert set(device) >= {"name", "kind", "clusters", "local_cores", "global_cores", "workers"}


def test_the_zoo_lists_licence_and_size_of_everything(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("MACCEL_HOME", str(tmp_path))
    found = document(["zoo", "list"], capsys)
    assert found["cache"] == str(tmp_path)
    for entry in found["entries"]:
        assert entry["package"] == zoo.ENTRIES[entry["name"]].package.spec
        assert entry["licence"]
        assert entry["download_bytes"] > 0


# ---- the form


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_does_not_have_becomes_null(value, capsys):
    JsonConsole().result({"a": value, "b": [1.5, (value, "x")], "c": {"d": value}, "e": True})
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found == {"a": None, "b": [1.5, [None, "x"]], "c": {"d": None}, "e": True}


def test_standard_output_is_json_alone_in_a_real_process(classifier, room):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "maccel_aio.cli", "run", str(classifier),
         "-i", str(room / "picture.npy"), "--json"],
        capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.stderr == b""
    assert json.loads(done.stdout)["results"]
