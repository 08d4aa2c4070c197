"""One operator in the forms that it had: attributes then, inputs now."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.compiler.families.harness import assert_same, check_float, compiled, reference
from tests.compiler.onnx_models import Model

IMAGE = (1, 6, 5, 7)
NEWEST = 23


def _model(opset: int, shape: tuple[int, ...] = IMAGE) -> Model:
    return Model({"x": shape}, opset)


def _int64(m: Model, *values: int) -> str:
    return m.const(values, np.int64)


@pytest.mark.parametrize("opset", [9, 10, 11, 12, 13, 17, 21, NEWEST])
def test_a_small_network_in_every_operator_set(opset):
    m = _model(opset)
    t = m.add("Relu", m.conv("x", (8, 6, 3, 3), pads=[1] * 4))
    t = m.add("MaxPool", t, kernel_shape=[2, 2], strides=[2, 2])
    t = m.add("Flatten", m.add("GlobalAveragePool", t))
    check_float(m, m.add("Gemm", t, m.random(8, 4), m.random(4)))


@pytest.mark.parametrize(("low", "high"), [(-0.5, 0.5), (None, 0.3), (-0.2, None)])
@pytest.mark.parametrize("opset", [9, 11, 13, NEWEST])
def test_clip(opset, low, high):
    m = _model(opset)
    if opset < 11:
        attrs = {k: v for k, v in (("min", low), ("max", high)) if v is not None}
        t = m.add("Clip", "x", **attrs)
    else:
        names = [m.const(v) if v is not None else "" for v in (low, high)]
        t = m.add("Clip", "x", *names[: 2 if high is not None else 1])
    check_float(m, t)


def test_clip_with_crossed_bounds_gives_the_upper_one():
    m = _model(13)
    check_float(m, m.add("Clip", "x", m.const(0.4), m.const(-0.4)))


def test_clip_between_values_of_the_run():
    m = Model({"x": IMAGE, "low": ()}, 13)
    check_float(m, m.add("Clip", "x", "low"), cpu=["Clip"])


@pytest.mark.parametrize("opset", [9, 13, NEWEST])
def test_squeeze_and_unsqueeze(opset):
    m = _model(opset, (1, 6, 1, 7))
    t = m.add("Exp", "x")
    for op, axes in (("Squeeze", (0, 2)), ("Unsqueeze", (1, 3)), ("Unsqueeze", (0,))):
        extra: Any = {"axes": list(axes)} if opset < 13 else {}
        t = m.add(op, t, *([] if opset < 13 else [_int64(m, *axes)]), **extra)
    check_float(m, m.add("Sin", t))


@pytest.mark.parametrize("opset", [9, 13])
def test_squeeze_of_all_ones(opset):
    m = _model(opset, (1, 6, 1, 7))
    check_float(m, m.add("Exp", m.add("Squeeze", "x")))


@pytest.mark.parametrize("value", [0.0, 0.75])
@pytest.mark.parametrize("opset", [9, 10, 11, 13, 18, 21])
def test_pad(opset, value):
    m = _model(opset)
    pads = [0, 1, 2, 0, 0, 0, 1, 3]
    if opset < 11:
        t = m.add("Pad", "x", pads=pads, value=value)
    else:
        t = m.add("Pad", "x", _int64(m, *pads), m.const(value))
    check_float(m, m.add("Neg", t))


def test_pad_of_some_axes():
    m = _model(18)
    t = m.add("Pad", "x", _int64(m, 1, 2, 3, 0), m.const(0.5), _int64(m, 3, -3))
    check_float(m, t)


def test_a_pad_that_cuts_off():
    m = _model(13)
    t = m.add("Pad", m.add("Exp", "x"), _int64(m, 0, -1, 0, 1, 0, 0, -2, 0))
    check_float(m, t, cpu=["Pad"])


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -2])
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("opset", [9, 11, 13])
def test_softmax_flattened_what_followed_and_then_did_not(opset, op, axis):
    m = _model(opset)
    # Negative axes came with operator set 11.
    check_float(m, m.add(op, "x", axis=axis % 4 if opset < 11 else axis))


def test_softmax_has_another_default_axis_since_13():
    shapes = {}
    for opset in (11, 13):
        m = _model(opset, (2, 3, 4))
        feed = {"x": np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 10}
        found = check_float(m, m.add("Softmax", "x"), feed=feed)
        shapes[opset] = float(found.run(feed)[0].sum())
    assert shapes == {11: pytest.approx(2.0), 13: pytest.approx(6.0)}


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("opset", [11, 13, 18])
def test_axes_of_reductions(opset, op, keep):
    m = _model(opset)
    if opset < 18:
        t = m.add(op, "x", axes=[1, -1], keepdims=keep)
    else:
        t = m.add(op, "x", _int64(m, 1, -1), keepdims=keep)
    check_float(m, t)


@pytest.mark.parametrize("opset", [11, 13])
def test_axes_of_sums(opset):
    m = _model(opset)
    if opset < 13:
        check_float(m, m.add("ReduceSum", "x", axes=[2], keepdims=0))
    else:
        check_float(m, m.add("ReduceSum", "x", _int64(m, 2), keepdims=0))


@pytest.mark.parametrize("opset", [9, 11, 13, 18])
def test_split(opset):
    m = _model(opset)
    t = m.add("Exp", "x")
    if opset < 13:
        parts = m.add("Split", t, outputs=3, axis=1, split=[1, 2, 3])
    elif opset < 18:
        parts = m.add("Split", t, outputs=3, axis=1)
    else:
        parts = m.add("Split", t, outputs=4, axis=3, num_outputs=4)  # the last one is smaller
    check_float(m, *(m.add("Neg", part) for part in parts))


@pytest.mark.parametrize("opset", [9, 10, 13])
def test_slice(opset):
    m = _model(opset)
    if opset < 10:
        t = m.add("Slice", "x", starts=[1, -3], ends=[4, 2**31 - 1], axes=[1, 3])
    else:
        t = m.add("Slice", "x", _int64(m, 1, -3), _int64(m, 4, 2**63 - 1), _int64(m, 1, -1))
    check_float(m, m.add("Neg", t))


@pytest.mark.parametrize("opset", [9, 10, 12, 13])
def test_dropout_does_nothing_at_inference(opset):
    m = _model(opset)
    t = m.add("Exp", "x")
    t = m.add("Dropout", t, ratio=0.4) if opset < 12 else m.add("Dropout", t, m.const(0.4))
    check_float(m, m.add("Neg", t))


def test_the_mask_of_a_dropout():
    m = _model(13)
    kept, mask = m.add("Dropout", m.add("Exp", "x"), outputs=2)
    model = m.build(kept, m.add("Cast", mask, to=1))
    feed = m.feed()  # onnxslim drops the node and leaves the reader of its mask
    assert_same(compiled(model).run(feed), reference(model, feed))


@pytest.mark.parametrize("opset", [9, 14, 15])
def test_batch_normalisation(opset):
    m = _model(opset)
    parameters = [m.random(6), m.random(6), m.random(6), m.const(np.linspace(0.5, 2, 6))]
    check_float(m, m.add("BatchNormalization", "x", *parameters, epsilon=1e-2))


@pytest.mark.parametrize("opset", [9, 11, 13])
def test_gemm_with_and_without_a_bias(opset):
    m = _model(opset, (3, 10))
    bias = [m.random(7)] if opset < 11 else []
    check_float(m, m.add("Gemm", "x", m.random(7, 10), *bias, transB=1, alpha=0.3))


@pytest.mark.parametrize("shape", [(), (1,), (7,), (1, 7), (1, 1), (3, 1), (3, 7)])
def test_every_bias_that_broadcasts(shape):
    m = _model(13, (3, 10))
    bias = m.const(m.rng.normal(size=shape).astype(np.float32))
    model = m.build(m.add("Gemm", "x", m.random(10, 7), bias, beta=0.5))
    feed = m.feed()
    assert_same(compiled(model).run(feed), reference(model, feed))


@pytest.mark.parametrize("kwargs", [{"transA": 1}, {"transA": 1, "transB": 1}])
def test_a_transposed_first_operand(kwargs: dict[str, Any]):
    m = _model(13, (10, 3))
    shape = (7, 10) if "transB" in kwargs else (10, 7)
    model = m.build(m.add("Gemm", "x", m.random(*shape), m.random(7), **kwargs))
    feed = m.feed()
    assert_same(compiled(model).run(feed), reference(model, feed))


def test_vectors_in_products():
    for left, right in (((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,))):
        m = _model(13, left)
        model = m.build(m.add("MatMul", "x", m.random(*right)))
        feed = m.feed()
        assert_same(compiled(model).run(feed), reference(model, feed))


def test_an_average_pool_with_dilation():
    m = _model(19)
    t = m.add("AveragePool", "x", kernel_shape=[2, 2], dilations=[2, 3])
    model = m.build(t)
    feed = m.feed()
    assert_same(compiled(model).run(feed), reference(model, feed))


@pytest.mark.parametrize("opset", [20, NEWEST])
def test_gelu_is_an_operator_now(opset):
    m = _model(opset)
    check_float(m, m.add("Gelu", "x"), m.add("Gelu", "x", approximate="tanh"))


def test_an_operator_set_newer_than_the_compiler_knows_is_tried(caplog):
    m = _model(NEWEST)
    model = m.build(m.conv("x", (4, 6, 1, 1)))
    model.opset_import[0].version = 25
    with caplog.at_level("WARNING", "maccel_aio.compiler"):
        found = compiled(model)
    assert "opset 25 is newer than 24" in caplog.text
    assert found.file.variant["outputs"][0]["shape"] == [1, 4, 5, 7]
