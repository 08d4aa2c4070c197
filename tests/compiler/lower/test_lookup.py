"""Look-ups in tables and conversions of integers, on the device, against onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from maccel_aio import compiler, sync
from tests.compiler.device import File

ROWS = 9


def model_of(
    nodes: list[onnx.NodeProto], ids: tuple[int, ...], kind: int, **consts: Any
) -> onnx.ModelProto:
    weights = [numpy_helper.from_array(value, name) for name, value in consts.items()]
    outputs = [name for node in nodes for name in node.output if name.startswith("y")]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", kind, ids)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def check(model: onnx.ModelProto, ids: np.ndarray, folder: Path) -> None:
    """Compare with onnxruntime bit by bit; nothing may be left for the CPU."""
    report = compiler.compile(model, folder / "m.mxq", precision="float32")
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    got = File((folder / "m.mxq").read_bytes()).run({"ids": ids})
    for want, have in zip(session.run(None, {"ids": ids}), got, strict=True):
        np.testing.assert_array_equal(have, want)
    assert all(layer.where == "npu" for layer in report.layers)


def table(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    ids=st.lists(st.integers(1, 4), min_size=0, max_size=3).map(tuple),
    rest=st.lists(st.integers(1, 5), min_size=0, max_size=2).map(tuple),
    wide=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_table_is_read_row_by_row(
    ids: tuple[int, ...],
    rest: tuple[int, ...],
    wide: bool,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    kind, dtype = (TensorProto.INT64, np.int64) if wide else (TensorProto.INT32, np.int32)
    nodes = [helper.make_node("Gather", ["t", "ids"], ["y"])]
    values = np.random.default_rng(seed).integers(-ROWS, ROWS, ids).astype(dtype)
    folder = tmp_path_factory.mktemp("lookup")
    check(model_of(nodes, ids, kind, t=table(ROWS, *rest)), np.asarray(values), folder)


def test_integers_that_are_read_both_ways_are_uploaded_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["t", "ids"], ["y0"]),
        helper.make_node("Cast", ["ids"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["c", "c"], ["y1"]),
    ]
    ids = np.array([[3, -2, 8]])
    check(model_of(nodes, ids.shape, TensorProto.INT64, t=table(ROWS, 5)), ids, tmp_path)


def test_large_integers_become_the_nearest_floats(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["ids"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["c", "half"], ["y"]),
    ]
    ids = np.array([2**40 + 1, -(2**33) - 1, 2**24 + 1, 7])
    half = np.array(0.5, np.float32)
    check(model_of(nodes, ids.shape, TensorProto.INT64, half=half), ids, tmp_path)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int16, np.uint8, np.float32, np.bool_])
def test_callers_pass_ids_of_any_type_and_layout(dtype: type, tmp_path: Path) -> None:
    t = table(2, 6)
    nodes = [helper.make_node("Gather", ["t", "ids"], ["y"])]
    model = model_of(nodes, (1, 4), TensorProto.INT64, t=t)
    compiler.compile(model, tmp_path / "m.mxq", precision="float32")
    batch = np.arange(24).reshape(4, 6) % 2
    with (
        sync.Accelerator("soft:0") as device,
        sync.load(tmp_path / "m.mxq", accelerator=device) as loaded,
    ):
        whole: np.ndarray = batch.astype(dtype)
        for ids in (whole[:3, :4], whole.T[:5]):
            (got,) = loaded.infer([ids])
            np.testing.assert_array_equal(got, t[ids.astype(np.int64)])
