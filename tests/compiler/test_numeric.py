"""From an ONNX model and samples to a quantised graph that computes nearly the same."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from maccel_aio.compiler.calibration import TappedModel
from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.ir import Graph, Node, TensorQuant
from maccel_aio.compiler.numeric import preprocess_by_input, quantise_graph
from maccel_aio.compiler.passes import run_passes
from maccel_aio.compiler.qdq import remove_pairs
from maccel_aio.compiler.report import sqnr_db
from maccel_aio.errors import InvalidError
from tests.compiler.evaluator import Evaluator
from tests.compiler.test_qdq import float_model, quantised


def on_npu(node: Node) -> bool:
    return not node.reason


def image_model(channels: int = 3) -> onnx.ModelProto:
    rng = np.random.default_rng(2)
    weights = [
        numpy_helper.from_array(rng.normal(size=(8, channels, 3, 3)).astype(np.float32), "w"),
        numpy_helper.from_array(rng.normal(size=(8, 5)).astype(np.float32), "m"),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "m"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", channels, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def passed(model: onnx.ModelProto) -> Graph:
    graph = import_model(model)
    run_passes(graph)
    return graph


def test_a_model_on_a_directory_of_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(3):
        pixels = rng.integers(0, 256, (20, 24, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    graph = passed(image_model())
    seen: list[tuple[int, int]] = []
    result = quantise_graph(
        graph,
        tmp_path,
        on_npu=on_npu,
        preprocess={"mean": 127, "std": 64},
        progress=lambda done, total: seen.append((done, total)),
    )
    assert result.samples is not None
    assert seen == [(n, 32) for n in range(1, 33)]
    assert graph.tensor("x").storage == TensorQuant("u8", 1 / 64, 127)
    feed = result.samples.make(0)
    exact = TappedModel(graph.model, []).run(feed)["y"]
    assert sqnr_db(exact, Evaluator(graph).run(feed)["y"]) > 25


def test_a_quantised_model_keeps_its_scales(tmp_path: Path) -> None:
    from onnxruntime.quantization import QuantType

    model = quantised(tmp_path, QuantType.QUInt8, per_channel=True)
    plain, given = remove_pairs(model)
    graph = passed(plain)
    samples = np.random.default_rng(7).normal(size=(4, 4, 8, 8)).astype(np.float32)
    quantise_graph(graph, samples, on_npu=on_npu, given=given)
    assert graph.tensor("x").storage.scale == pytest.approx(given.tensors["x"].scale)
    for node in graph.walk("Conv"):
        assert node.quant is not None
        x = graph.tensor(node.inputs[0]).storage
        scales = node.quant.scale / np.float32(x.scale)
        assert any(
            len(known) == len(scales) and np.allclose(known, scales, rtol=1e-5)
            for known in given.weights.values()
        )


def test_a_quantised_model_needs_no_calibration(tmp_path: Path) -> None:
    from onnxruntime.quantization import QuantType

    plain, given = remove_pairs(quantised(tmp_path, QuantType.QInt8, per_channel=True))
    graph = passed(plain)
    result = quantise_graph(graph, None, on_npu=on_npu, given=given)
    assert result.samples is None
    assert all(node.quant is not None for node in graph.walk("Conv"))


def test_preprocessing_is_given_once_or_by_name() -> None:
    graph = passed(image_model())
    once = preprocess_by_input(graph, {"mean": 1, "std": 2})
    assert once == preprocess_by_input(graph, {"x": {"mean": 1, "std": 2}})
    assert preprocess_by_input(graph, None) == {}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"y": {"mean": 1}}, "inputs are"),
        ({"x": {"mean": 1, "channels": "GRAY"}}, "channels"),
        ({"mean": 1, "deviation": 3}, "deviation"),
    ],
)
def test_preprocessing_that_does_not_fit_is_refused(value: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        preprocess_by_input(passed(image_model()), value)


def test_preprocessing_needs_an_image_input() -> None:
    with pytest.raises(InvalidError, match="no input is an image"):
        preprocess_by_input(passed(float_model()), {"mean": 1})
