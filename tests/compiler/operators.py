"""Compiles the operator cases, runs them on the software NPU, and compares with onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from maccel_aio import compiler
from tests.compiler.cases import CASES
from tests.compiler.device import File

if TYPE_CHECKING:
    from pathlib import Path

ON_CPU = {name for name in CASES if name.startswith("cpu_")} | {"avgpool_ceil_include"}
"""Models of which something stays on the CPU."""

COARSE = {
    "act_floor", "act_round", "act_exp", "div_const_first", "act_reciprocal", "pow_3",
    "add_broadcast",
}  # fmt: skip
"""Functions whose steps or large derivatives make the input's rounding visible."""

FAMILIES = {
    "conv": ("conv", "deconv", "gemm", "matmul_3d", "matmul_bias", "pad_conv", "prelu_conv"),
    "image": ("maxpool", "avgpool", "global", "resize", "upsample"),
    "recurrent": ("lstm", "gru", "rnn", "cpu_lstm", "cpu_gru"),
    "rows": ("reduce", "softmax", "log_softmax", "layer_norm", "attention", "matmul_"),
    "pointwise": (
        "add", "sub", "mul", "max_", "min_", "div", "pow", "act_", "clip", "prelu", "silu",
        "hardswish", "gelu", "mish", "const_", "bn_", "sum_",
    ),
    "context": ("chain", "nhwc", "two_outputs", "se_block", "cpu_", "identity"),
    "moves": (
        "pad", "transpose", "flatten", "reshape", "squeeze", "unsqueeze", "slice", "split",
        "gather", "concat", "expand", "tile", "depth", "space", "channel",
    ),
}  # fmt: skip
"""Module of `lower` -> beginnings of the names of its cases; the first that fits counts."""


def family(name: str) -> list[str]:
    """Return the cases of one module of `lower`."""
    return [case for case in CASES if family_of(case) == name]


def family_of(case: str) -> str:
    """Return the module that lowers what a case is about."""
    return next(key for key, starts in FAMILIES.items() if case.startswith(starts))


def _reference(model: Any, feed: dict[str, Any]) -> list[Any]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, feed))


def check_float(name: str, folder: Path) -> None:
    """A float program computes what onnxruntime computes."""
    made, outputs = CASES[name]()
    model = made.build(*outputs)
    report = compiler.compile(model, folder / "m.mxq", precision="float32")
    feed = made.feed()
    got = File((folder / "m.mxq").read_bytes()).run(feed)
    for want, have in zip(_reference(model, feed), got, strict=True):
        assert have.shape == want.shape
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=2e-5)
    assert any(layer.where == "cpu" for layer in report.layers) == (name in ON_CPU)


def check_int8(name: str, folder: Path) -> None:
    """An int8 program is near onnxruntime."""
    made, outputs = CASES[name]()
    model = made.build(*outputs)
    samples = made.feed(8)
    compiler.compile(model, folder / "m.mxq", calibration=samples, measure=0)
    feed = {key: value[0] for key, value in samples.items()}
    got = File((folder / "m.mxq").read_bytes()).run(feed)
    for want, have in zip(_reference(model, feed), got, strict=True):
        assert have.shape == want.shape
        noise = np.square(want.astype(np.float64) - have).sum()
        signal = np.square(want.astype(np.float64)).sum()
        assert noise <= signal * (0.03 if name in COARSE else 0.003), 10 * np.log10(signal / noise)
