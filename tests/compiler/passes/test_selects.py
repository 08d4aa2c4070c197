"""Where with a constant condition: sums for masks, products for zeros, else the CPU."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from maccel_aio import compiler
from tests.compiler.device import File
from tests.compiler.onnx_models import Model
from tests.compiler.passes.graphs import ops, passed

SEEN = np.tri(5, 6, dtype=bool)
LOWEST = float(np.finfo(np.float32).min)


def masked(value: float, *, kept_first: bool, softmax: bool) -> onnx.ModelProto:
    m = Model({"x": (1, 2, 5, 6)})
    condition = m.const(SEEN if kept_first else ~SEEN)
    number = m.const(np.float32(value))
    y = m.add("Where", condition, *(("x", number) if kept_first else (number, "x")))
    return m.build(m.add("Softmax" if softmax else "Relu", y))


@pytest.mark.parametrize("kept_first", [True, False])
@pytest.mark.parametrize(
    ("value", "softmax"), [(LOWEST, True), (-np.inf, True), (-1e9, True), (0.0, False)]
)
def test_results_are_those_of_onnxruntime(
    value: float, softmax: bool, kept_first: bool, tmp_path: Path
) -> None:
    model = masked(value, kept_first=kept_first, softmax=softmax)
    report = compiler.compile(model, tmp_path / "m.mxq", precision="float32")
    assert all(layer.where == "npu" for layer in report.layers)
    x = np.random.default_rng(2).normal(size=(1, 2, 5, 6)).astype(np.float32) * 30
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (want,) = session.run(None, {"x": x})
    (got,) = File((tmp_path / "m.mxq").read_bytes()).run({"x": x})
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("value", [LOWEST, 1.0])
def test_other_numbers_need_the_cpu(value: float) -> None:
    m = Model({"x": (1, 2, 5, 6)})
    y = m.add("Where", m.const(SEEN), "x", m.const(np.float32(value)))
    graph = passed(m, m.add("Relu", y))
    assert "a choice between a tensor and" in graph.nodes[0].reason


@pytest.mark.parametrize("value", [-1e4, -1e9, LOWEST, -np.inf])
def test_a_row_without_anything_shown_needs_the_cpu(value: float, tmp_path: Path) -> None:
    m = Model({"x": (1, 2, 5, 6)})
    seen = SEEN.copy()
    seen[2] = False
    t = m.add("Where", m.const(seen), "x", m.const(np.float32(value)))
    outputs = [m.add("Softmax", t, axis=-1), m.add("Softmax", t, axis=-2)]
    model = m.build(*outputs)
    report = compiler.compile(model, tmp_path / "m.mxq", precision="float32")
    assert [layer.op for layer in report.layers if layer.where == "cpu"] == ["Where"]
    x = m.feed()
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    got = File((tmp_path / "m.mxq").read_bytes()).run(x)
    for have, want in zip(got, session.run(None, x), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-7)


def test_rows_of_old_operator_sets_are_all_that_comes_behind_the_axis() -> None:
    for axis, reason in ((2, ""), (3, "a choice between a tensor and")):
        m = Model({"x": (1, 2, 5, 6)}, opset=11)
        seen = SEEN.copy()
        seen[2] = False
        t = m.add("Where", m.const(seen), "x", m.const(np.float32(LOWEST)))
        graph = passed(m, m.add("Softmax", t, axis=axis))
        assert any(reason in node.reason for node in graph.nodes if node.reason) == bool(reason)


def test_masked_scores_that_are_an_output_need_the_cpu() -> None:
    m = Model({"x": (1, 2, 5, 6)})
    t = m.add("Where", m.const(SEEN), "x", m.const(np.float32(-1e4)))
    graph = passed(m, t, m.add("Softmax", t))
    assert "a choice between a tensor and" in graph.nodes[0].reason


def test_two_tensors_need_the_cpu() -> None:
    m = Model({"x": (5, 6), "y": (5, 6)})
    graph = passed(m, m.add("Where", m.const(SEEN), "x", "y"))
    assert "between two tensors" in graph.nodes[0].reason


def test_a_mask_is_part_of_softmax() -> None:
    m = Model({"x": (1, 2, 5, 6)})
    y = m.add("Where", m.const(SEEN), "x", m.const(np.float32(LOWEST)))
    assert ops(passed(m, m.add("Softmax", y))) == ["Softmax"]
