"""Rewrites of ONNX models keep their values."""

import numpy as np
import onnxruntime as ort

from maccel_aio.compiler.rewrite import split_variadic
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
