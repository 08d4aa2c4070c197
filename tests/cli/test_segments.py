"""Segments with their shares and times."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import maccel_aio
import maccel_aio.sync
from maccel_aio.cli import main
from maccel_aio.cli._console import Console
from maccel_aio.cli._segments import (
    measure_segments,
    plain_segments,
    segment_shares,
    show_segments,
    with_times,
)
from tests.networks import Builder


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A convolution, an operator for the host, a convolution of three times the work."""
    b = Builder(5)
    middle = b.node("Selu", b.conv("x", (4, 4), 3))
    b.ends = (b.conv(middle, (4, 12), 3),)
    model = b.model({"x": (1, 4, 8, 8)}, {"y": (1, 12, 8, 8)})
    made = tmp_path_factory.mktemp("segments") / "m.mxq"
    maccel_aio.compile(model, made, precision="float32")
    return made


def test_shares_are_of_the_work(path):
    found = segment_shares(maccel_aio.read_manifest(path))
    assert [one.kind for one in found] == ["npu", "cpu", "npu"]
    assert [one.share for one in found] == [0.25, 0, 0.75]
    assert "Selu" in found[1].reason
    assert [one.seconds for one in found] == [None] * 3


def test_a_segment_has_the_median_of_its_events(path):
    segments = segment_shares(maccel_aio.read_manifest(path))
    events = [
        {"ph": "X", "name": "m.mxq npu0", "args": {"segment": "npu0"}, "dur": took}
        for took in (10, 30, 1000)
    ]
    events += [{"ph": "X", "name": "cpu0", "args": {}, "dur": 7}, {"ph": "b", "name": "queue"}]
    found = with_times(segments, events)
    assert [one.seconds for one in found] == [pytest.approx(30e-6), pytest.approx(7e-6), None]


async def test_segments_are_measured_and_shown(path, capsys):
    async with maccel_aio.load(path) as model:
        x = np.ones((1, 4, 8, 8), np.float32)
        found = await measure_segments(model, [x], calls=3)
    assert all(one.seconds is not None and one.seconds > 0 for one in found)
    show_segments(Console(), found)
    out = capsys.readouterr().out
    for words in ("npu0", "cpu0", "npu1", "25.0%", "75.0%", "Selu"):
        assert words in out
    assert json.loads(json.dumps(plain_segments(found)))[2]["share"] == 0.75


def test_bench_and_summary_tell_of_segments(path, capsys):
    arguments = ["bench", str(path), "--seconds", "0.05", "--rounds", "1", "--json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["segments"]] == ["npu0", "cpu0", "npu1"]
    assert main(["summary", str(path)]) == 0
    assert "75.0%" in capsys.readouterr().out
    with maccel_aio.sync.load(path) as model:
        assert "segment   npu1 on NPU, 75.0% of the work" in model.summary()


def test_a_model_of_one_segment_has_no_such_table(tmp_path, capsys):
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8]) for n in "xy")
    graph = helper.make_graph([helper.make_node("Tanh", ["x"], ["y"])], "g", [x], [y])
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    maccel_aio.compile(model, tmp_path / "m.mxq", precision="float32")
    arguments = ["bench", str(tmp_path / "m.mxq"), "--seconds", "0.05", "--rounds", "1", "--json"]
    assert main(arguments) == 0
    assert "segments" not in json.loads(capsys.readouterr().out)
