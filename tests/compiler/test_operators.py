"""Every operator form, compiled and run on the software NPU, against onnxruntime."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from maccel_aio import compiler
from tests.compiler.cases import CASES
from tests.compiler.device import File

ON_CPU = {name for name in CASES if name.startswith("cpu_")} | {"avgpool_ceil_include"}
"""Models of which something stays on the CPU."""

COARSE = {
    "act_floor",
    "act_round",
    "act_exp",
    "div_const_first",
    "act_reciprocal",
    "pow_3",
    "add_broadcast",
}
"""Functions whose large derivatives make the input's rounding visible."""


def _reference(model, feed):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feed)


@pytest.mark.parametrize("name", CASES)
def test_float_programs_compute_what_onnxruntime_computes(name: str, tmp_path: Path):
    made, outputs = CASES[name]()
    model = made.build(*outputs)
    report = compiler.compile(model, tmp_path / "m.mxq", precision="float32")
    feed = made.feed()
    got = File((tmp_path / "m.mxq").read_bytes()).run(feed)
    for want, have in zip(_reference(model, feed), got, strict=True):
        assert have.shape == want.shape
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=2e-5)
    assert any(layer.where == "cpu" for layer in report.layers) == (name in ON_CPU)


@pytest.mark.parametrize("name", CASES)
def test_int8_programs_are_near_onnxruntime(name: str, tmp_path: Path):
    made, outputs = CASES[name]()
    model = made.build(*outputs)
    samples = made.feed(8)
    compiler.compile(model, tmp_path / "m.mxq", calibration=samples)
    feed = {key: value[0] for key, value in samples.items()}
    got = File((tmp_path / "m.mxq").read_bytes()).run(feed)
    for want, have in zip(_reference(model, feed), got, strict=True):
        assert have.shape == want.shape
        noise = np.square(want.astype(np.float64) - have).sum()
        signal = np.square(want.astype(np.float64)).sum()
        assert noise <= signal * (0.03 if name in COARSE else 0.003), 10 * np.log10(signal / noise)
