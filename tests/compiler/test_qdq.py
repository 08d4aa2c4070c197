"""Models that onnxruntime quantised: the float graph and the scales come out of the pairs."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from maccel_aio.compiler.calibration import open_session
from maccel_aio.compiler.qdq import GivenFormat, has_pairs, remove_pairs
from maccel_aio.errors import CompileError

if TYPE_CHECKING:
    import onnxruntime as ort


class Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.feeds = iter(
            [{"x": rng.normal(size=(1, 4, 8, 8)).astype(np.float32)} for _ in range(4)]
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


def float_model() -> onnx.ModelProto:
    rng = np.random.default_rng(3)
    weights = [
        numpy_helper.from_array(rng.normal(size=(6, 4, 3, 3)).astype(np.float32), "w0"),
        numpy_helper.from_array(rng.normal(size=6).astype(np.float32), "b0"),
        numpy_helper.from_array(rng.normal(size=(5, 6, 1, 1)).astype(np.float32), "w1"),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["c"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("Conv", ["r", "w1"], ["y"], name="second"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5, 8, 8])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def quantised(folder: Path, activation: QuantType, *, per_channel: bool) -> onnx.ModelProto:
    onnx.save(float_model(), folder / "f.onnx")
    quantize_static(
        folder / "f.onnx",
        folder / "q.onnx",
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=per_channel,
        activation_type=activation,
        weight_type=QuantType.QInt8,
    )
    return onnx.load(folder / "q.onnx")


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session: ort.InferenceSession = open_session(model, threads=1)
    return np.asarray(session.run(None, {"x": x})[0])


@pytest.mark.parametrize("activation", [QuantType.QUInt8, QuantType.QInt8])
@pytest.mark.parametrize("per_channel", [True, False])
def test_the_float_graph_computes_nearly_the_same(
    tmp_path: Path, activation: QuantType, per_channel: bool
) -> None:
    model = quantised(tmp_path, activation, per_channel=per_channel)
    assert has_pairs(model)
    plain, given = remove_pairs(model)
    assert not has_pairs(plain)
    assert {n.op_type for n in plain.graph.node} <= {"Conv", "Relu", "Clip"}
    onnx.checker.check_model(plain)
    x = np.random.default_rng(5).normal(size=(1, 4, 8, 8)).astype(np.float32)
    one, other = run(plain, x), run(model, x)
    assert np.abs(one - other).max() < 0.05 * np.abs(other).max()
    assert len(given.weights) == 2


def test_scales_and_zero_points_are_those_of_the_file(tmp_path: Path) -> None:
    model = quantised(tmp_path, QuantType.QUInt8, per_channel=True)
    constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    _, given = remove_pairs(model)
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] in given.tensors:
            found = given.tensors[node.input[0]]
            assert found.scale == pytest.approx(float(constants[node.input[1]]))
            assert found.zero == int(constants[node.input[2]])
    assert "x" in given.tensors
    widths = sorted(len(scale) for scale in given.weights.values())
    assert widths == [5, 6]


def test_signed_codes_move_by_128(tmp_path: Path) -> None:
    _, signed = remove_pairs(quantised(tmp_path, QuantType.QInt8, per_channel=True))
    _, unsigned = remove_pairs(quantised(tmp_path, QuantType.QUInt8, per_channel=True))
    assert signed.tensors["x"].dtype == "u8"
    assert abs(signed.tensors["x"].zero - unsigned.tensors["x"].zero) <= 1


def test_weights_are_whole_multiples_of_their_scale(tmp_path: Path) -> None:
    plain, given = remove_pairs(quantised(tmp_path, QuantType.QUInt8, per_channel=True))
    for tensor in plain.graph.initializer:
        scale = given.weights.get(tensor.name)
        if scale is not None:
            codes = numpy_helper.to_array(tensor).reshape(len(scale), -1) / scale[:, None]
            np.testing.assert_allclose(codes, np.rint(codes), atol=1e-3)


def test_a_float_model_has_no_pairs_and_is_unchanged() -> None:
    model = float_model()
    assert not has_pairs(model)
    plain, given = remove_pairs(model)
    assert plain == model
    assert not given.tensors


def pair_model(scale: float, *, constant: bool = True) -> onnx.ModelProto:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])]
    constants = [numpy_helper.from_array(np.array(3, np.int8), "z")]
    if constant:
        constants.append(numpy_helper.from_array(np.array(scale, np.float32), "s"))
    else:
        inputs.append(helper.make_tensor_value_info("s", TensorProto.FLOAT, []))
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_pair_between_an_input_and_an_output_becomes_the_ends_of_its_codes() -> None:
    model = pair_model(0.5)
    plain, given = remove_pairs(model)
    assert [n.op_type for n in plain.graph.node] == ["Clip"]
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    for far in (-1e6, 1e6):
        x = np.full(shape, far, np.float32)
        np.testing.assert_array_equal(run(plain, x), run(model, x))
    assert given.tensors == {"x": GivenFormat("u8", 0.5, 131)}
    onnx.checker.check_model(plain)


@pytest.mark.parametrize(("scale", "constant"), [(0.0, True), (float("nan"), True), (1.0, False)])
def test_scales_that_are_no_sound_constants_are_refused(scale: float, constant: bool) -> None:
    with pytest.raises(CompileError, match="Linear"):
        remove_pairs(pair_model(scale, constant=constant))
