"""Shapes of inputs: fixed, with a batch of one, or of variable length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from maccel_aio.compiler.bind import bind_shapes, fix_inputs
from maccel_aio.errors import CompileError


def _model(**inputs):
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node("Relu", [next(iter(inputs))], ["y"])
    return helper.make_model(helper.make_graph([node], "g", values, [out]))


def _shape(model, number=0):
    dims = model.graph.input[number].type.tensor_type.shape.dim
    return [d.dim_param or d.dim_value for d in dims]


def test_a_symbolic_batch_is_one():
    model = _model(x=("N", 3))
    assert bind_shapes(model, {}).symbolic == {"x"}
    assert _shape(model) == [1, 3]


def test_negative_sizes_stay_variable_under_their_symbol():
    model = _model(x=(1, "L", 4))
    bound = bind_shapes(model, {"x": (1, -8, 4)})
    assert (bound.variable, bound.symbolic) == ({"x": (1, -8, 4)}, frozenset())
    assert _shape(model) == [1, "L", 4]


def test_a_symbol_has_one_size_in_all_inputs():
    model = _model(a=(1, "L"), b=("L", 2), c=(1, "L"))
    bound = bind_shapes(model, {"a": (1, -1)})
    assert bound.variable == {"a": (1, -1), "b": (-1, 2), "c": (1, -1)}
    model = _model(a=(1, "L"), b=("L", 2))
    bind_shapes(model, {"a": (1, 7)})
    assert _shape(model, 1) == [7, 2]


def test_a_dimension_of_zero_is_an_empty_tensor():
    model = _model(x=(0, 3))
    assert bind_shapes(model, {}).symbolic == frozenset()
    assert _shape(model) == [0, 3]


def test_scalars_keep_their_shape():
    model = _model(x=())
    bind_shapes(model, {"x": ()})
    assert _shape(model) == []


@given(st.lists(st.integers(-4, 9), min_size=1, max_size=5))
def test_given_shapes_are_bound_or_refused(shape):
    model = _model(x=[f"d{k}" for k in range(len(shape))])
    if 0 in shape:
        with pytest.raises(CompileError, match="must be positive"):
            bind_shapes(model, {"x": shape})
        return
    bound = bind_shapes(model, {"x": shape})
    assert _shape(model) == [n if n > 0 else f"d{k}" for k, n in enumerate(shape)]
    assert bound.variable == ({"x": tuple(shape)} if min(shape) < 0 else {})


def test_unknown_sizes_are_asked_for():
    with pytest.raises(CompileError, match=r"'x' has shape 1xLx4: give its sizes .* -1 for"):
        bind_shapes(_model(x=(1, "L", 4)), {})


def test_a_constant_gives_its_sizes_to_symbols():
    model = _model(a=(1, "L"), b=(1, "L"))
    symbols = fix_inputs(model, {"a": np.zeros((1, 6), np.float32)})
    bind_shapes(model, {}, symbols)
    assert _shape(model) == [1, 6]


def test_several_sizes_of_a_symbol_are_told_with_their_inputs():
    model = _model(a=(1, "L"), b=("L", 2), c=(1, 3))
    bound = bind_shapes(model, {"a": (1, 7), "b": (8, 2)})
    assert bound.conflicts == ("dimension 'L' is 7 in 'a' and 8 in 'b'",)
    assert [_shape(model, k) for k in range(3)] == [[1, 7], [8, 2], [1, 3]]


def test_a_symbol_of_several_sizes_binds_nothing():
    model = _model(a=(1, "L"), b=(1, "L"), c=(1, "L"))
    with pytest.raises(CompileError, match="'c' has shape 1xL: give its sizes"):
        bind_shapes(model, {"a": (1, 7), "b": (1, -1)})
