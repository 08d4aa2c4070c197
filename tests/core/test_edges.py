"""Element types, lengths and ranks where values enter and leave a model."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

import maccel_aio
from maccel_aio import compiler
from maccel_aio._core import _edges, _shapes


async def made(tmp_path, nodes, inputs, outputs, **how: Any):
    """Compile a model of these nodes in float; values are name -> (type, shape)."""
    given, wanted = [
        [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in part.items()]
        for part in (inputs, outputs)
    ]
    graph = helper.make_graph(
        [helper.make_node(*node[:3], **node[3]) for node in nodes], "g", given, wanted
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    work = partial(compiler.compile, model, tmp_path / "m.mxq", precision="float32", **how)
    await anyio.to_thread.run_sync(work)
    return tmp_path / "m.mxq"


KINDS = {
    "int64": (TensorProto.INT64, np.asarray([2**53 + 1, -7])),
    "int32": (TensorProto.INT32, np.asarray([2**30 + 1, -7], np.int32)),
    "uint8": (TensorProto.UINT8, np.asarray([255, 0], np.uint8)),
    "bool": (TensorProto.BOOL, np.asarray([True, False])),
    "float64": (TensorProto.DOUBLE, np.asarray([1 + 1e-12, -2.0])),
    "float16": (TensorProto.FLOAT16, np.asarray([0.5, -2.0], np.float16)),
    "object": (TensorProto.STRING, np.asarray(["a", "\u00fc"], object)),
}


@pytest.mark.parametrize("name", KINDS)
async def test_values_keep_their_type_and_every_bit(tmp_path, name):
    kind, value = KINDS[name]
    path = await made(
        tmp_path, [("Identity", ["x"], ["y"], {})], {"x": (kind, [2])}, {"y": (kind, [2])}
    )
    async with maccel_aio.load(path) as model:
        assert model.outputs[0].dtype == name
        (y,) = await model.infer(value)
        job = await model.submit(value)
        out = np.empty(2, value.dtype)
        await model.infer(value, out=[out])
    assert y.dtype == value.dtype
    assert y.tolist() == value.tolist() == out.tolist() == (await job)[0].tolist()


async def test_types_that_numpy_has_not_are_carried_by_one_that_it_has(tmp_path):
    kind = TensorProto.BFLOAT16
    path = await made(
        tmp_path, [("Identity", ["x"], ["y"], {})], {"x": (kind, [2])}, {"y": (kind, [2])}
    )
    async with maccel_aio.load(path) as model:
        (y,) = await model.infer(np.asarray([1.5, -3], ml_dtypes.bfloat16))
        assert (y.dtype.name, y.tolist()) == ("float32", [1.5, -3])


async def test_values_that_cannot_be_an_input_are_refused_by_name(tmp_path):
    path = await made(
        tmp_path,
        [("Cast", ["s"], ["y"], {"to": TensorProto.FLOAT})],
        {"s": (TensorProto.STRING, [2])},
        {"y": (TensorProto.FLOAT, [2])},
    )
    async with maccel_aio.load(path) as model:
        (y,) = await model.infer(np.asarray(["1.5", "2"]))
        assert y.tolist() == [1.5, 2.0]
        with pytest.raises(maccel_aio.InvalidError, match="float32 cannot be an input of object"):
            await model.infer(np.zeros(2, np.float32))
    assert _edges.dtypes(model_specs("float32", "float32")) == ()


def model_specs(*dtypes: str):
    return [
        maccel_aio.TensorSpec("x", dtype, (2,), "ND", None, 1.0, 0, "float32") for dtype in dtypes
    ]


async def test_scalars_empty_tensors_constants_and_inputs_come_out(tmp_path):
    f = TensorProto.FLOAT
    one = helper.make_tensor("v", f, [3], [1, 2, 3])
    path = await made(
        tmp_path,
        [
            ("ReduceSum", ["x"], ["total"], {"keepdims": 0}),
            ("Constant", [], ["fixed"], {"value": one}),
            ("Exp", ["none"], ["empty"], {}),
        ],
        {"x": (f, [2, 3]), "none": (f, [0, 4])},
        {"total": (f, []), "fixed": (f, [3]), "empty": (f, [0, 4]), "x": (f, [2, 3])},
    )
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    async with maccel_aio.load(path) as model:
        total, fixed, empty, same = await model.infer([x, np.empty((0, 4), np.float32)])
    assert (total.shape, total.item(), fixed.tolist(), empty.shape) == ((), 15, [1, 2, 3], (0, 4))
    assert same is not x
    assert not np.shares_memory(same, x)
    assert same.tolist() == x.tolist()


async def test_a_model_without_inputs(tmp_path):
    two = helper.make_tensor("v", TensorProto.FLOAT, [2], [1, 2])
    path = await made(
        tmp_path,
        [("Constant", [], ["c"], {"value": two}), ("Neg", ["c"], ["y"], {})],
        {},
        {"y": (TensorProto.FLOAT, [2])},
    )
    async with maccel_aio.load(path) as model:
        assert [y.tolist() for y in await model.infer([])] == [[-1, -2]]


async def test_outputs_whose_length_depends_on_the_values(tmp_path):
    path = await made(
        tmp_path,
        [("NonZero", ["x"], ["y"], {})],
        {"x": (TensorProto.FLOAT, [1, 4])},
        {"y": (TensorProto.INT64, [2, "n"])},
    )
    async with maccel_aio.load(path) as model:
        assert model.outputs[0].shape == (2, -1)
        (y,) = await model.infer(np.asarray([[0, 5, 0, 6]], np.float32))
        assert y.tolist() == [[0, 0], [1, 3]]
        with pytest.raises(maccel_aio.InferenceError, match="pass them one by one"):
            await model.infer(np.asarray([[0, 5, 0, 6], [1, 0, 0, 0]], np.float32))
        with pytest.raises(maccel_aio.ShapeError, match="turned out"):
            await model.infer(np.ones((1, 4), np.float32), out=[np.empty((2, 3), np.int64)])


async def test_inputs_of_variable_length(tmp_path):
    path = await made(
        tmp_path,
        [("CumSum", ["x", "axis"], ["y"], {})],
        {"x": (TensorProto.FLOAT, ["b", "n"]), "axis": (TensorProto.INT64, [])},
        {"y": (TensorProto.FLOAT, ["b", "n"])},
        shapes={"x": (2, -4)},
    )
    one = np.asarray(1)
    async with maccel_aio.load(path) as model:
        assert model.inputs[0].shape == (2, -4)
        for length in (0, 4, 12):
            x = np.ones((2, length), np.float32)
            (y,) = await model.infer([x, one])
            assert y.tolist() == np.cumsum(x, 1).tolist()
        with pytest.raises(maccel_aio.ShapeError, match="any multiple of 4"):
            await model.infer([np.ones((2, 5), np.float32), one])


@given(st.lists(st.integers(-4, 6), max_size=4), st.lists(st.integers(0, 12), max_size=4))
def test_a_shape_fits_if_every_dimension_does(wanted, shape):
    same = len(wanted) == len(shape)
    each = [w == s if w >= 0 else s % -w == 0 for w, s in zip(wanted, shape, strict=False)]
    assert _shapes.fits(tuple(wanted), tuple(shape)) == (same and all(each))
