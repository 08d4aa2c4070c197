"""Noise of layers, measured by running the program."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import maccel_aio
from maccel_aio import sync
from maccel_aio.compiler import QuantizeOptions
from maccel_aio.compiler.calibration import TappedModel
from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.measure import find_taps, tap
from maccel_aio.compiler.partition import partition
from maccel_aio.compiler.passes import run_passes
from maccel_aio.compiler.report import CompileReport, sqnr_db

_SHAPE = (1, 4, 8, 8)


def chain(length: int, *, uneven: bool = False) -> onnx.ModelProto:
    """Convolutions one behind the other, each with a Relu but for the last."""
    rng = np.random.default_rng(0)
    nodes, weights, last = [], [], "x"
    spread = np.geomspace(0.02, 1, 4) if uneven else np.ones(4)
    for k in range(length):
        w = rng.normal(size=(4, 4, 3, 3)) / 4
        w = w * spread[:, None, None, None] / (spread[None, :, None, None] if k else 1)
        weights.append(numpy_helper.from_array(w.astype(np.float32), f"w{k}"))
        nodes.append(
            helper.make_node("Conv", [last, f"w{k}"], [f"c{k}"], name=f"conv{k}", pads=[1] * 4)
        )
        last = f"c{k}"
        if k < length - 1:
            nodes.append(helper.make_node("Relu", [last], [f"r{k}"], name=f"relu{k}"))
            last = f"r{k}"
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, _SHAPE)],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, _SHAPE)],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def samples(count: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, *_SHAPE)).astype(np.float32)


def compiled(
    folder: Path, model: onnx.ModelProto, measure: int = 3, *, equalise: bool = True
) -> CompileReport:
    options = QuantizeOptions(equalise=equalise)
    report = maccel_aio.compile(
        model,
        folder / "m.mxq",
        calibration=samples(12),
        measure=measure,
        quantize=options,
    )
    assert isinstance(report, CompileReport)
    return report


def test_every_layer_has_a_figure_and_the_file_carries_it(tmp_path: Path) -> None:
    report = compiled(tmp_path, chain(3))
    assert not report.warnings
    assert len(report.layers) == 3
    figures = [layer.sqnr_device_db for layer in report.layers]
    assert all(figure is not None and 20 < figure < 100 for figure in figures)
    kept = [layer.sqnr_db for layer in maccel_aio.read_manifest(tmp_path / "m.mxq").layers]
    assert kept == pytest.approx(figures)


def test_the_output_figure_is_that_of_the_file(tmp_path: Path) -> None:
    model = chain(3)
    report = compiled(tmp_path, model)
    feeds = [{"x": x} for x in samples(12)[:3]]
    exact = [TappedModel(model, []).run(feed)["c2"] for feed in feeds]
    with sync.load(tmp_path / "m.mxq") as loaded:
        found = [loaded.infer(feed["x"])[0] for feed in feeds]
    wanted = sqnr_db(np.stack(exact), np.stack(found))
    assert report.output_sqnr_device_db == {"c2": pytest.approx(wanted, abs=1e-3)}


def test_scaled_tensors_are_compared_in_their_own_units(tmp_path: Path) -> None:
    scaled = compiled(tmp_path, chain(3, uneven=True))
    plain = compiled(tmp_path, chain(3, uneven=True), equalise=False)
    last, before = (report.layers[-1].sqnr_device_db for report in (scaled, plain))
    assert last is not None
    assert before is not None
    assert last > before + 3
    assert all((layer.sqnr_device_db or 0) > 20 for layer in scaled.layers)


def test_more_layers_than_a_program_has_outputs_are_measured_in_portions(tmp_path: Path) -> None:
    model = chain(40)
    graph = import_model(model)
    run_passes(graph)
    segments = partition(graph)
    portions = find_taps(graph, segments)
    assert len(portions) == 2
    wider, tapped = tap(graph, segments, portions[0])
    assert wider.outputs == [*graph.outputs, *portions[0]]
    assert len(tapped[0].inputs) + len(tapped[0].outputs) == 32
    report = compiled(tmp_path, model, measure=1)
    assert all(layer.sqnr_device_db is not None for layer in report.layers)


def test_it_can_be_left_out(tmp_path: Path) -> None:
    report = compiled(tmp_path, chain(2), measure=0)
    assert report.output_sqnr_device_db == {}
    assert {layer.sqnr_device_db for layer in report.layers} == {None}
    assert not report.warnings


async def test_a_compilation_on_an_event_loop_is_measured_without_a_warning(tmp_path: Path) -> None:
    assert compiled(tmp_path, chain(2), measure=1).output_sqnr_device_db
