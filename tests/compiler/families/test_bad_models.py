"""What the compiler says about models, numbers and arguments that it cannot take."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import maccel_aio
from maccel_aio.compiler.inputs import CalibrationError
from maccel_aio.errors import CompileError, InvalidError
from tests.compiler.families.harness import assert_same, compiled, reference
from tests.compiler.onnx_models import Model

IMAGE = (1, 3, 6, 6)


def _model(weight: np.ndarray | None = None, bias: np.ndarray | None = None) -> Model:
    """Return a model of one convolution; its output is ``t0``."""
    m = Model({"x": IMAGE})
    weight = m.rng.normal(size=(4, 3, 3, 3)) * 0.3 if weight is None else weight
    names = [m.const(weight), m.const(np.zeros(4) if bias is None else bias)]
    m.add("Conv", "x", *names)
    return m


def _weights(value: float, where: tuple[int, ...] = (1, 2, 0, 1)) -> np.ndarray:
    weight = np.random.default_rng(1).normal(size=(4, 3, 3, 3)) * 0.3
    weight[where] = value
    return weight


def _refuse(model: Any, match: str, tmp_path, kind: type[Exception] = CompileError, **how: Any):
    out = tmp_path / "m.mxq"
    with pytest.raises(kind, match=match):
        maccel_aio.compile(model, out, **how)
    assert list(tmp_path.glob("*.mxq*")) == []
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".m.mxq")] == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("int8", [False, True])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path, value, int8):
    m = _model(_weights(value))
    how = {"calibration": m.feed(2)} if int8 else {"precision": "float32"}
    _refuse(m.build("t0"), "nt0.*weight.*not finite", tmp_path, **how)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_biases_that_are_not_finite_are_refused_by_name(tmp_path, value):
    bias = np.array([0.0, value, 0.0, 1.0])
    _refuse(_model(bias=bias).build("t0"), "nt0.*bias.*not finite", tmp_path, precision="float32")


def test_a_normalisation_that_makes_weights_infinite_is_refused(tmp_path):
    m = _model()
    zero = [m.const(np.ones(4)), m.const(np.zeros(4)), m.const(np.zeros(4)), m.const(np.zeros(4))]
    t = m.add("BatchNormalization", "t0", *zero, epsilon=0.0)
    _refuse(m.build(t), "not finite", tmp_path, precision="float32")


def test_an_infinite_mask_is_no_weight():
    """Additive masks of attention hold minus infinity: that is what they are for."""
    m = Model({"x": (1, 2, 4, 4)})
    mask = np.triu(np.full((4, 4), -np.inf), 1)
    t = m.add("Softmax", m.add("Add", "x", m.const(mask)), axis=-1)
    model, feed = m.build(t), m.feed()
    assert_same(compiled(model).run(feed), reference(model, feed))


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "no nodes"),
        (b"this is no model at all", "not a readable ONNX model"),
        (b"\x08\x08\x12\xff\xff\xff", "not a readable ONNX model"),
    ],
)
def test_bytes_that_are_no_model(tmp_path, data, match):
    _refuse(data, match, tmp_path, precision="float32")


def test_a_file_that_is_cut_off_is_named(tmp_path):
    data = _model().build("t0").SerializeToString()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(CompileError, match=r"not a readable|no nodes") as caught:
        maccel_aio.compile(path, tmp_path / "m.mxq", precision="float32")
    assert caught.value.path == str(path)


def test_a_file_that_does_not_exist(tmp_path):
    _refuse(tmp_path / "none.onnx", "none.onnx", tmp_path, FileNotFoundError, precision="float32")


def test_weights_that_lie_in_a_lost_file(tmp_path):
    model = _model().build("t0")
    onnx.save(
        model, tmp_path / "m.onnx", save_as_external_data=True, location="w", size_threshold=0
    )
    (tmp_path / "w").unlink()
    with pytest.raises(CompileError, match="not a readable ONNX model"):
        maccel_aio.compile(tmp_path / "m.onnx", tmp_path / "m.mxq", precision="float32")


def test_weights_that_lie_beside_the_model(tmp_path):
    m = _model()
    model, feed = m.build("t0"), m.feed()
    want = reference(model, feed)
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w", size_threshold=0)
    assert_same(compiled(path).run(feed), want)


def test_an_input_that_is_no_tensor(tmp_path):
    floats = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    value = helper.make_value_info("s", helper.make_map_type_proto(TensorProto.INT64, floats))
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node("CastMap", ["s"], ["y"], domain="ai.onnx.ml")
    graph = helper.make_graph([node], "g", [value], [out])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    model = helper.make_model(graph, opset_imports=opsets)
    _refuse(model, "'s' is not a tensor", tmp_path, precision="float32")


@pytest.mark.parametrize(
    ("shapes", "match"),
    [
        ({"y": (1, 3, 6, 6)}, r"shape given for \['y'\]; the model's inputs are \['x'\]"),
        ({"x": (1, 3, 6)}, "4 dimensions, the given shape .* 3"),
        ({"x": (1, 3, 0, 6)}, "must be positive"),
        ({"x": (1, 4, 6, 6)}, "4 channels, its weights are for 3"),
        ({"x": (1, 3, 2, 2)}, "smaller than its kernel"),
    ],
)
def test_shapes_that_do_not_fit(tmp_path, shapes, match):
    _refuse(_model().build("t0"), match, tmp_path, shapes=shapes, precision="float32")


def test_shapes_that_are_not_known(tmp_path):
    m = Model({"x": (1, 3, "h", "w")})  # type: ignore[dict-item]
    model = m.build(m.conv("x", (4, 3, 3, 3)))
    _refuse(model, "'x' has shape 1x3xhxw: give its sizes", tmp_path, precision="float32")
    found = compiled(model, shapes={"x": (1, 3, 5, 7)})
    assert found.file.variant["outputs"][0]["shape"] == [1, 4, 3, 5]


def test_an_output_folder_that_does_not_exist(tmp_path):
    m = _model()
    with pytest.raises(FileNotFoundError):
        maccel_aio.compile(m.build("t0"), tmp_path / "no" / "m.mxq", precision="float32")


def test_an_output_that_is_a_folder_stays_a_folder(tmp_path):
    (tmp_path / "m.mxq").mkdir()
    with pytest.raises(OSError, match=r"m\.mxq"):
        maccel_aio.compile(_model().build("t0"), tmp_path / "m.mxq", precision="float32")
    assert [p.name for p in tmp_path.iterdir()] == ["m.mxq"]


def test_a_failed_compilation_leaves_the_old_file(tmp_path):
    path = tmp_path / "m.mxq"
    maccel_aio.compile(_model().build("t0"), path, precision="float32")
    before = path.read_bytes()
    with pytest.raises(CompileError):
        maccel_aio.compile(_model(_weights(np.nan)).build("t0"), path, precision="float32")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"means": 1}, r"preprocessing for \['means'\]: the inputs are \['x'\]"),
        ({"mean": [1, 2]}, "mean has 2 values, the input has 3 channels"),
        ({"std": [1, 1, 0]}, "std must be positive"),
        ({"std": -1}, "std must be positive"),
        ({"mean": np.nan}, "mean is not finite"),
        ({"std": np.inf}, "std is not finite"),
        ({"mean": "bright"}, "mean"),
        ({"mean": None}, "mean"),
        ({"crop": "all"}, "crop"),
        ({"crop": 0}, r"crop must be in \(0, 1\]"),
        ({"crop": np.nan}, "crop is not finite"),
        ({"channels": "CMYK"}, "'CMYK'"),
        ({"channels": "GRAY", "mean": 1}, "3 channels, its preprocessing is GRAY"),
        ({"y": {"mean": 1}}, r"preprocessing for \['y'\]"),
    ],
)
def test_preprocessing_that_does_not_fit(tmp_path, how, match):
    m = _model()
    data = m.feed(2)
    _refuse(m.build("t0"), match, tmp_path, InvalidError, calibration=data, preprocess=how)


@pytest.mark.parametrize(
    "how",
    [
        {"mean": 127, "std": 64},
        {"mean": [1, 2, 3], "std": 2.0, "channels": "bgr"},
        {"x": {"mean": np.float32(5)}},
        {"mean": np.array([1.0, 2.0, 3.0])},
    ],
)
def test_preprocessing_in_other_words(how):
    m = _model()
    found = compiled(m.build("t0"), calibration=m.feed(2), preprocess=how)
    entry = found.file.variant["inputs"][0]
    assert len(entry["preprocess"]["mean"]) == len(entry["preprocess"]["std"]) == 3
    assert json.loads(json.dumps(entry)) == entry


def test_preprocessing_of_what_is_no_image(tmp_path):
    m = Model({"x": (1, 5)})
    model = m.build(m.add("MatMul", "x", m.random(5, 3)))
    _refuse(
        model, "no input is an image", tmp_path, InvalidError,
        calibration=m.feed(2), preprocess={"mean": 1},
    )  # fmt: skip


def test_errors_of_the_compiler_are_errors_of_the_library():
    assert issubclass(CompileError, maccel_aio.MaccelError)
    assert issubclass(CalibrationError, InvalidError)
    assert issubclass(InvalidError, maccel_aio.MaccelError)


def test_an_operator_that_nobody_knows_needs_onnxruntime_to_know_it(tmp_path):
    m = Model({"x": IMAGE})
    t = m.conv("x", (4, 3, 1, 1))
    model = m.build(m.add("Relu", t))
    model.graph.node[-1].op_type, model.graph.node[-1].domain = "Secret", "some.where"
    model.opset_import.append(helper.make_opsetid("some.where", 1))
    _refuse(model, "onnxruntime cannot load the model.*Secret", tmp_path, calibration=m.feed(2))


def test_a_model_that_fails_on_its_samples(tmp_path):
    m = Model({"x": (1, 6)})
    index = m.add("Cast", m.add("ReduceMax", "x", keepdims=0), to=7)
    model = m.build(m.add("Relu", m.add("Gather", "x", index, axis=1)))
    _refuse(model, "onnxruntime cannot run", tmp_path, calibration={"x": np.full((1, 1, 6), 50.0)})
