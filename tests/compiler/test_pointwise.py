"""The numpy forms of the device's functions, against onnx's reference evaluator."""

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from maccel_aio.compiler.ir import Activation
from maccel_aio.compiler.pointwise import FUNCTIONS, evaluate

X = np.concatenate([np.linspace(-9, 9, 181), [1e-3, -1e-3]]).astype(np.float64)
POSITIVE = {"log", "sqrt", "rsqrt", "reciprocal"}


@pytest.mark.parametrize(
    ("op", "act", "attrs"),
    [
        ("Sigmoid", Activation("sigmoid"), {}),
        ("Tanh", Activation("tanh"), {}),
        ("Softplus", Activation("softplus"), {}),
        ("Mish", Activation("mish"), {}),
        ("Erf", Activation("erf"), {}),
        ("Elu", Activation("elu", 0.7), {"alpha": 0.7}),
        ("LeakyRelu", Activation("leaky", 0.1), {"alpha": 0.1}),
        ("HardSigmoid", Activation("hardsigmoid", 0.3, 0.4), {"alpha": 0.3, "beta": 0.4}),
        ("HardSwish", Activation("hardswish", 1 / 6, 0.5), {}),
        ("Gelu", Activation("gelu_erf"), {}),
        ("Gelu", Activation("gelu_tanh"), {"approximate": "tanh"}),
        ("Round", Activation("round"), {}),
        ("Reciprocal", Activation("reciprocal"), {}),
    ],
)
def test_functions_are_those_of_onnx(op, act, attrs):
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, X.shape)
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, X.shape)
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"], **attrs)], "g", [value], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    x = X[np.abs(X) > 1e-9]
    (want,) = list(ReferenceEvaluator(model).run(None, {"x": x.astype(np.float32)}))
    want = np.asarray(want)
    np.testing.assert_allclose(evaluate(act, x), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_every_function_is_finite_on_a_wide_range(kind):
    x = np.abs(X) + 0.1 if kind in POSITIVE else X * 20
    values = evaluate(Activation(kind, 0.5, 1.0), np.minimum(x, 80))
    assert values.shape == x.shape
    assert np.isfinite(values).all()


def test_prelu_slopes_belong_to_the_last_dimension():
    act = Activation("prelu", slope=np.array([0.5, 2.0], np.float32))
    got = evaluate(act, np.array([[-1.0, -1.0], [1.0, -3.0]]))
    np.testing.assert_array_equal(got, [[-0.5, -2.0], [1.0, -6.0]])
