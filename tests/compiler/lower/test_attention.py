"""Attention in codes and in floats, on the device."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maccel_aio import compiler
from maccel_aio.compiler.report import CompileReport
from tests.compiler.device import File
from tests.compiler.onnx_models import Model

Feed = dict[str, np.ndarray]


def model_of(shape: tuple[int, ...], groups: int, width: int, mask: tuple[int, ...]) -> Model:
    """Return an attention of [batch, heads, queries, keys, depth]; `groups` heads share keys."""
    batch, heads, queries, keys, depth = shape
    inputs: dict[str, tuple[int, ...]] = {
        "q": (batch, heads * groups, queries, depth),
        "k": (batch, heads, keys, depth),
        "v": (batch, heads, keys, width),
    }
    if mask:
        inputs["m"] = mask
    return Model(inputs)


def attend(m: Model, groups: int) -> onnx.ModelProto:
    q, k, v = m.inputs["q"], m.inputs["k"], m.inputs["v"]
    names = ["q", "k", "v"]
    if groups > 1:
        split = (q[0], k[1], groups, *q[2:]), (*k[:2], 1, *k[2:]), (*v[:2], 1, *v[2:])
        names = [
            m.add("Reshape", name, m.const(shape, np.int64))
            for name, shape in zip(names, split, strict=True)
        ]
    rank = 5 if groups > 1 else 4
    turned = m.add("Transpose", names[1], perm=[*range(rank - 2), rank - 1, rank - 2])
    scores = m.add("Mul", m.add("MatMul", names[0], turned), m.const(q[-1] ** -0.5))
    if "m" in m.inputs:
        scores = m.add("Add", scores, "m")
    return m.build(m.add("MatMul", m.add("Softmax", scores, axis=-1), names[2]))


def exact(m: Model, feed: Feed, groups: int) -> np.ndarray:
    q, k, v = (feed[name].astype(np.float64) for name in "qkv")
    if groups > 1:
        q = q.reshape(q.shape[0], k.shape[1], groups, *q.shape[2:])
        k, v = k[:, :, None], v[:, :, None]
    scores = q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5 + feed.get("m", 0.0)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    shares: np.ndarray = e / e.sum(-1, keepdims=True)
    return shares @ v


def run(
    model: onnx.ModelProto, feed: Feed, folder: Path, **how: Any
) -> tuple[np.ndarray, CompileReport]:
    report = compiler.compile(model, folder / "m.mxq", measure=0, **how)
    (got,) = File((folder / "m.mxq").read_bytes()).run(feed)
    return got, report


def noise(got: np.ndarray, want: np.ndarray) -> float:
    return float(((got - want) ** 2).sum() / (want**2).sum())


@settings(max_examples=20, deadline=None)
@given(
    batch=st.integers(1, 2),
    heads=st.integers(1, 3),
    groups=st.sampled_from([1, 1, 2]),
    queries=st.integers(16, 40),
    keys=st.integers(1, 40),
    depth=st.integers(2, 40),
    width=st.integers(1, 40),
    masked=st.sampled_from(["", "all", "keys", "column"]),
)
def test_codes_are_near_and_floats_are_exact(
    batch: int, heads: int, groups: int, queries: int, keys: int, depth: int, width: int,
    masked: str, tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("attention")
    masks = {"": (), "all": (queries, keys), "keys": (1, keys), "column": (queries, 1)}
    m = model_of((batch, heads, queries, keys, depth), groups, width, masks[masked])
    model, feed = attend(m, groups), m.feed()
    want = exact(m, feed, groups)
    got, report = run(model, feed, folder, calibration={k: v[None] for k, v in feed.items()})
    (layer,) = (layer for layer in report.layers if layer.op == "Attention")
    assert layer.precision == "int8"
    assert layer.macs == batch * heads * groups * queries * keys * (depth + width)
    assert noise(got, want) < 2e-3
    got, report = run(model, feed, folder, precision="float32")
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-5)


def test_few_queries_are_multiplied_in_floats(tmp_path: Path) -> None:
    m = model_of((1, 2, 3, 50, 16), 1, 16, ())
    model, feed = attend(m, 1), m.feed()
    got, report = run(model, feed, tmp_path, calibration={k: v[None] for k, v in feed.items()})
    assert [layer.precision for layer in report.layers if layer.op == "Attention"] == ["float32"]
    np.testing.assert_allclose(got, exact(m, feed, 1), rtol=1e-4, atol=2e-5)


def test_hidden_keys_have_no_share(tmp_path: Path) -> None:
    m = model_of((1, 2, 20, 30, 16), 1, 16, (1, 30))
    model, feed = attend(m, 1), m.feed()
    feed["m"] = np.where(np.arange(30) < 11, 0.0, -1e4).astype(np.float32)[None]
    got, _ = run(model, feed, tmp_path, calibration={k: v[None] for k, v in feed.items()})
    feed["v"][:, :, 11:] = np.clip(feed["v"][:, :, 11:], -1.0, 1.0)
    assert noise(got, exact(m, feed, 1)) < 1e-3
