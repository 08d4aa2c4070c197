"""Rewrites of ONNX models keep their values."""

import numpy as np
import onnxruntime as ort
import pytest

from maccel_aio.compiler.importer import infer
from maccel_aio.compiler.rewrite import (
    expand_lrn,
    settle_ceil,
    shift_before_scale,
    split_variadic,
)
from tests.compiler.onnx_models import Model


def _run(model, feed):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feed)


def test_sums_of_many_become_chains_with_the_same_value():
    m = Model({"a": (2, 3), "b": (3,), "c": (2, 1), "d": (2, 3)})
    outs = [m.add(op, "a", "b", "c", "d") for op in ("Sum", "Max", "Min")]
    model = m.build(*outs)
    split = split_variadic(model)
    assert [n.op_type for n in split.graph.node] == ["Add"] * 3 + ["Max"] * 3 + ["Min"] * 3
    feed = m.feed()
    for want, have in zip(_run(model, feed), _run(split, feed), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-6)
    assert split_variadic(split) is split


def _pool(shape, **attrs):
    m = Model({"x": shape}, opset=19)
    return m, m.build(m.add("Relu", m.add("MaxPool", "x", **attrs)))


@pytest.mark.parametrize(
    ("shape", "attrs"),
    [
        ((1, 2, 9, 8), {"kernel_shape": [2, 2], "strides": [3, 3]}),
        ((1, 2, 9, 9), {"kernel_shape": [2, 3], "strides": [3, 2]}),
        ((1, 2, 7), {"kernel_shape": [1], "strides": [4]}),
        ((1, 2, 6, 7), {"kernel_shape": [2, 2], "strides": [3, 2], "pads": [1, 0, 0, 1]}),
    ],
)
def test_windows_that_would_start_in_the_padding_are_left_out(shape, attrs):
    m, model = _pool(shape, ceil_mode=1, **attrs)
    settled = settle_ceil(model, infer)
    feed = m.feed()
    (want,), (have,) = _run(model, feed), _run(settled, feed)
    np.testing.assert_array_equal(have, want)
    dims = settled.graph.output[0].type.tensor_type.shape.dim
    assert tuple(d.dim_value for d in dims) == want.shape


def test_ceil_mode_whose_windows_all_start_inside_is_left_alone():
    _, model = _pool((1, 2, 9, 8), kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1)
    assert settle_ceil(model, infer) is model


@pytest.mark.parametrize("size", [1, 3, 5])
def test_normalisation_over_channels_becomes_a_band_of_weights(size):
    m = Model({"x": (1, 7, 3, 4)})
    attrs = {"size": size, "alpha": 0.3, "beta": 0.6, "bias": 1.5}
    model = infer(m.build(m.add("Relu", m.add("LRN", "x", **attrs))))
    spelled = expand_lrn(model, infer)
    assert [n.op_type for n in spelled.graph.node] == ["Mul", "Conv", "Pow", "Mul", "Relu"]
    feed = m.feed()
    for want, have in zip(_run(model, feed), _run(spelled, feed), strict=True):
        np.testing.assert_allclose(have, want, rtol=2e-5)
    assert expand_lrn(spelled, infer) is spelled


def test_normalisation_of_rows_stays_as_it_is():
    m = Model({"x": (4, 7)})
    model = infer(m.build(m.add("LRN", "x", size=3)))
    assert expand_lrn(model, infer) is model


def test_a_shift_behind_a_scale_comes_before_it():
    m = Model({"x": (2, 3)})
    scaled = m.add("Mul", m.const(np.float32(0.5)), "x")
    model = m.build(m.add("Relu", m.add("Add", scaled, m.const(np.float32(-0.2)))))
    swapped = shift_before_scale(model)
    assert [n.op_type for n in swapped.graph.node] == ["Add", "Mul", "Relu"]
    feed = m.feed()
    for want, have in zip(_run(model, feed), _run(swapped, feed), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-6)
    assert shift_before_scale(swapped) is swapped


@pytest.mark.parametrize("scale", [0.0, 1e-9])
def test_a_scale_that_does_not_divide_stays_where_it_is(scale):
    m = Model({"x": (2, 3)})
    scaled = m.add("Mul", "x", m.const(np.float32(scale)))
    model = m.build(m.add("Add", scaled, m.const(np.float32(1.0))))
    assert shift_before_scale(model) is model
