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


def test_two_tensors_need_the_cpu() -> None:
    m = Model({"x": (5, 6), "y": (5, 6)})
    graph = passed(m, m.add("Where", m.const(SEEN), "x", "y"))
    assert "between two tensors" in graph.nodes[0].reason


def test_a_mask_is_part_of_softmax() -> None:
    m = Model({"x": (1, 2, 5, 6)})
    y = m.add("Where", m.const(SEEN), "x", m.const(np.float32(LOWEST)))
    assert ops(passed(m, m.add("Softmax", y))) == ["Softmax"]
