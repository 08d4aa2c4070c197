"""Compile, run and compare; and error budgets that follow from the steps of the formats.

A budget is the largest error that rounding alone can cause, element by element. With ``x`` stored
in steps of ``s`` an input is wrong by at most ``s / 2``; a weight in steps of ``w`` by ``w / 2``.
Both are carried through the operator with absolute values, so that nothing cancels.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
from hypothesis import settings
from onnx import numpy_helper

from maccel_aio import compiler
from maccel_aio.compiler.quantize import QuantizeOptions
from tests.compiler.device import File

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maccel_aio.compiler.report import CompileReport
    from tests.compiler.onnx_models import Model

Array = np.ndarray[Any, Any]
Feed = dict[str, Array]

PROPERTY = settings(deadline=None, derandomize=True)
"""The same examples in every run, however slow the machine is."""

PLAIN = QuantizeOptions(bias_correction=False, equalise=False)
"""Weights and biases are rounded and nothing else: what the budgets describe."""

_ULP = 2.0**-23


def reference(model: onnx.ModelProto, feed: Feed) -> list[Array]:
    """Return what onnxruntime computes, without its own fusions."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(value) for value in session.run(None, feed)]


@dataclass
class Compiled:
    """A compiled model with its report."""

    model: onnx.ModelProto
    report: CompileReport
    data: bytes

    @property
    def file(self) -> File:
        return File(self.data)

    def run(self, feed: Feed) -> list[Array]:
        return self.file.run(feed)

    def on_cpu(self) -> list[str]:
        return [layer.op for layer in self.report.layers if layer.where == "cpu"]

    def step(self, name: str = "x") -> float:
        """Return the step of an input, 0 when the device has it in float."""
        (entry,) = [e for e in self.file.variant["inputs"] if e["name"] == name]
        return 0.0 if entry["device_dtype"] == "float32" else float(entry["scale"])


def compiled(model: onnx.ModelProto, **options: Any) -> Compiled:
    """Compile to a file of its own; float without calibration."""
    if "calibration" not in options:
        options.setdefault("precision", "float32")
    options.setdefault("measure", 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.mxq"
        report = compiler.compile(model, path, **options)
        return Compiled(model, report, path.read_bytes())


def assert_same(have: Sequence[Array], want: Sequence[Array], tolerance: float = 2e-5) -> None:
    for one, other in zip(have, want, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=tolerance)


def check_float(
    m: Model, *outputs: str, cpu: Sequence[str] = (), feed: Feed | None = None
) -> Compiled:
    """A float program computes what onnxruntime computes; operators in `cpu` stay on the CPU."""
    model = m.build(*outputs)
    found = compiled(model)
    assert found.on_cpu() == list(cpu)
    feed = m.feed() if feed is None else feed
    assert_same(found.run(feed), reference(model, feed))
    return found


def replaced(model: onnx.ModelProto, weights: Mapping[str, Array]) -> onnx.ModelProto:
    """Return the model with other values for some of its constants."""
    other = onnx.ModelProto()
    other.CopyFrom(model)
    for entry in other.graph.initializer:
        if entry.name in weights:
            shape = numpy_helper.to_array(entry).shape
            value = np.broadcast_to(weights[entry.name], shape).astype(np.float32)
            entry.CopyFrom(numpy_helper.from_array(value, entry.name))
    return other


def weight_step(weight: Array, axis: int) -> Array:
    """Return the step of every output channel's weights, in a shape that broadcasts."""
    others = tuple(d for d in range(weight.ndim) if d != axis)
    return np.asarray(np.abs(weight).max(axis=others, keepdims=True) / 127)


def linear_budget(found: Compiled, feed: Feed, weight_name: str, axis: int | None) -> Array:
    """Return the error that a layer of constant weights may have, per element of its output.

    ``|sum x w - sum x' w'| <= sum |x - x'| |w| + sum |x'| |w - w'|``, and half a unit of the bias.

    Args:
        found: the compiled model of one such layer, and nothing else.
        feed: the input that was run; inside the calibrated range.
        weight_name: initializer of the weights.
        axis: output channels of the weights; None for groups of a transposed convolution: the
            largest weight of all bounds every step.
    """
    model, half = found.model, found.step() / 2
    (entry,) = [i for i in model.graph.initializer if i.name == weight_name]
    weight = numpy_helper.to_array(entry)
    steps = np.abs(weight).max() / 127 if axis is None else weight_step(weight, axis)
    others: dict[str, Array] = {
        i.name: np.zeros(1) for i in model.graph.initializer if i.name != weight_name
    }
    x = feed["x"]
    by_input = replaced(model, {**others, weight_name: np.abs(weight)})
    by_weight = replaced(model, {**others, weight_name: np.asarray(steps) / 2})
    error = reference(by_input, {"x": np.full_like(x, half)})[0]
    error = error + reference(by_weight, {"x": np.abs(x) + np.float32(half)})[0]
    bias_unit = found.step() * float(np.max(steps))
    (want,) = reference(model, feed)
    return np.asarray(error + bias_unit / 2 + 64 * _ULP * (1 + np.abs(want)))


def check_budget(
    m: Model, output: str, weight_name: str, axis: int | None, *, samples: int = 4
) -> Compiled:
    """An int8 layer with constant weights is wrong by no more than its formats allow."""
    model = m.build(output)
    data = m.feed(samples)
    found = compiled(model, calibration=data, quantize=PLAIN)
    assert found.step() > 0
    assert [layer.precision for layer in found.report.layers] == ["int8"]
    for k in range(samples):
        feed = {"x": data["x"][k]}
        (have,), (want,) = found.run(feed), reference(model, feed)
        assert have.shape == want.shape
        error = np.abs(have.astype(np.float64) - want)
        budget = linear_budget(found, feed, weight_name, axis)
        assert (error <= budget).all(), float((error / budget).max())
        # The integers are really used: float would be far below the budget.
        assert error.max() > 0
    return found


def check_smooth(m: Model, output: str, slope: float = 1.0, *, extra: float = 0.0) -> Compiled:
    """An int8 model whose output moves by at most ``slope`` times what one input moves.

    Args:
        m: model of one input ``x``.
        output: its output, which the device returns as float.
        slope: largest change of an output element over the largest change of the input.
        extra: error of formats in between, in real units.
    """
    model = m.build(output)
    data = m.feed(4)
    found = compiled(model, calibration=data, quantize=PLAIN)
    for k in range(4):
        feed = {"x": data["x"][k]}
        (have,), (want,) = found.run(feed), reference(model, feed)
        assert have.shape == want.shape
        budget = slope * found.step() / 2 + extra + 64 * _ULP * (1 + np.abs(want).max())
        assert np.abs(have - want).max() <= budget
    return found
