"""The search for what has to leave 8 bits."""

import math
from pathlib import Path

import numpy as np
import onnx
import pytest

import maccel_aio
from maccel_aio.compiler import AccuracyTarget, CompileReport
from maccel_aio.compiler.calibration import open_session
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


def test_what_stays_in_8_bits_may_have_wider_weights_or_narrower_ranges(tmp_path: Path) -> None:
    plain, _ = compiled(tmp_path, 3.0)
    report, _ = compiled(tmp_path, AccuracyTarget(190.0, most_wide=0.0))
    assert plain.search is not None
    assert report.search is not None
    assert report.search.wide == 0
    assert not report.search.tensors
    assert report.search.wide_weights or report.search.narrowed
    assert report.search.value > plain.search.value


def test_a_limit_of_time_that_nothing_keeps_is_said(tmp_path: Path) -> None:
    report, data = compiled(tmp_path, AccuracyTarget(60.0, most_seconds=1e-9))
    _, plain = compiled(tmp_path, None)
    assert report.search is not None
    assert not report.search.in_time
    assert report.search.slower is not None
    assert any("limit of time" in warning for warning in report.warnings)
    assert not report.search.tensors
    assert report.search.wide == 0
    assert len(data) <= len(plain) * 1.01


def test_a_generous_limit_of_time_changes_nothing_about_the_target(tmp_path: Path) -> None:
    _, data = compiled(tmp_path, None)
    wanted = decibel(data) + 6
    report, _ = compiled(tmp_path, AccuracyTarget(wanted, most_slower=1000.0))
    assert report.search is not None
    assert report.search.reached
    assert report.search.in_time


def test_every_cost_names_the_layers_that_read(tmp_path: Path) -> None:
    report, _ = compiled(tmp_path, 40.0)
    assert report.search is not None
    assert set(report.search.readers) == set(report.search.costs)
    named = {layer for layers in report.search.readers.values() for layer in layers}
    assert named <= {layer.name for layer in report.layers}
    assert named
