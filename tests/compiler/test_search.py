"""The search for what has to leave 8 bits."""

import math
from pathlib import Path

import numpy as np
import onnx
import pytest

import maccel_aio
from maccel_aio.compiler import AccuracyTarget, CompileReport
from maccel_aio.compiler.calibration import open_session
from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.passes import run_passes
from maccel_aio.compiler.precision import PrecisionOptions
from maccel_aio.compiler.search import find_units
from maccel_aio.errors import CompileError
from tests.compiler.device import File
from tests.compiler.onnx_models import Model


def network() -> tuple[Model, onnx.ModelProto]:
    """A chain in which one tensor has an outlier: the small values next to it need more bits."""
    m = Model({"x": (1, 4, 8, 8)})
    t = m.add("Relu", m.conv("x", (8, 4, 3, 3), pads=[1] * 4))
    t = m.add("Tanh", m.conv(t, (8, 8, 3, 3), pads=[1] * 4))
    gains = np.array([300.0, *[1.0] * 7], np.float32).reshape(1, 8, 1, 1)
    t = m.add("Sigmoid", m.add("Mul", t, m.const(gains)))
    t = m.add("Relu", m.conv(t, (8, 8, 3, 3), pads=[1] * 4))
    return m, m.build(m.conv(t, (4, 8, 1, 1)))


def compiled(folder: Path, accuracy: AccuracyTarget | float | None) -> tuple[CompileReport, bytes]:
    m, model = network()
    report = maccel_aio.compile(
        model, folder / "m.mxq", calibration=m.feed(20), accuracy=accuracy, measure=0
    )
    return report, (folder / "m.mxq").read_bytes()


def decibel(data: bytes) -> float:
    m, model = network()
    session, file = open_session(model), File(data)
    signal = noise = 0.0
    for k in range(12):  # of the samples that calibrate: what is judged here is the plumbing
        feed = {"x": m.feed(20)["x"][k]}
        exact, (found,) = session.run(None, feed)[0], file.run(feed)
        signal += float(np.square(exact).sum())
        noise += float(np.square(exact - found).sum())
    return 10 * math.log10(signal / noise)


def test_the_target_is_reached_with_as_little_as_is_needed(tmp_path: Path) -> None:
    plain, data = compiled(tmp_path, None)
    before = decibel(data)
    report, data = compiled(tmp_path, before + 6)
    assert plain.search is None
    assert report.search is not None
    assert report.search.reached
    assert not report.warnings
    assert decibel(data) > before + 4
    assert 0 < report.search.wide < 1
    assert report.search.tensors
    costs = list(report.search.costs.values())
    assert sum(costs) == pytest.approx(1)
    assert costs == sorted(costs, reverse=True)
    assert report.int8_share < 1


def test_a_target_that_8_bits_reach_changes_nothing(tmp_path: Path) -> None:
    _, plain = compiled(tmp_path, None)
    report, data = compiled(tmp_path, 3.0)
    assert data == plain
    assert report.search is not None
    assert (report.search.tensors, report.search.trials) == ((), 1)


def test_the_same_target_gives_the_same_bytes(tmp_path: Path) -> None:
    assert compiled(tmp_path, 40.0)[1] == compiled(tmp_path, 40.0)[1]


def test_what_cannot_be_reached_is_said(tmp_path: Path) -> None:
    report, _ = compiled(tmp_path, 190.0)
    assert report.search is not None
    assert not report.search.reached
    assert "not reached" in report.warnings[0]
    assert report.search.wide == pytest.approx(1.0)


def test_the_work_outside_8_bits_is_limited(tmp_path: Path) -> None:
    report, _ = compiled(tmp_path, AccuracyTarget(190.0, most_wide=0.3))
    assert report.search is not None
    assert report.search.wide <= 0.3
    assert report.int8_share >= 0.7


def test_a_metric_of_the_caller_is_what_counts(tmp_path: Path) -> None:
    calls = []

    def metric(exact: list[list[np.ndarray]], found: list[list[np.ndarray]]) -> float:
        calls.append(len(found))
        worst = max(float(np.abs(e[0] - f[0]).max()) for e, f in zip(exact, found, strict=True))
        return -worst

    report, _ = compiled(tmp_path, AccuracyTarget(-1e-3, metric))
    assert report.search is not None
    assert len(calls) > 1
    assert report.search.reached == (report.search.value >= -1e-3)


@pytest.mark.parametrize(
    ("least", "most_wide"), [(float("nan"), 1.0), (float("inf"), 1.0), (20.0, -0.1), (20.0, 1.5)]
)
def test_targets_without_sense_are_refused(least: float, most_wide: float) -> None:
    with pytest.raises(CompileError):
        AccuracyTarget(least, most_wide=most_wide)


def test_a_residual_stream_offers_its_8_bit_copy() -> None:
    m = Model({"x": (1, 3, 8, 8)})
    t = m.add("Relu", m.conv("x", (8, 3, 3, 3), pads=[1] * 4))
    graph = import_model(m.build(m.conv(m.add("Add", m.conv(t, (8, 8, 1, 1)), t), (4, 8, 1, 1))))
    run_passes(graph)
    units = find_units(graph, lambda _: True, PrecisionOptions())
    assert [unit.name.endswith(":u8") for unit in units].count(True) >= 1
    assert sum(unit.work for unit in units) == pytest.approx(1)
    assert sum(unit.size for unit in units) == pytest.approx(1)
