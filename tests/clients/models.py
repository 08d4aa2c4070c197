"""Models of the shapes that the clients' programs expect, with weights by chance."""

from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from maccel_aio.compiler import compile  # noqa: A004 - the name of the act

Weights = dict[str, np.ndarray]


def _model(
    nodes: list[NodeProto], weights: Weights, size: int, outputs: dict[str, list[int]]
) -> ModelProto:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "client", [value("image", TensorProto.FLOAT, [1, 3, size, size])],
        [value(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _conv(
    source: str, name: str, channels: tuple[int, int], step: int, weights: Weights, seed: int
) -> NodeProto:
    """Return a convolution of patches."""
    rng = np.random.default_rng(seed)
    shape = (channels[1], channels[0], step, step)
    scale = 1 / np.sqrt(channels[0] * step * step)
    weights[f"{name}.w"] = rng.normal(0, 3 * scale, shape).astype(np.float32)
    weights[f"{name}.b"] = rng.normal(0, 0.5, channels[1]).astype(np.float32)
    return helper.make_node(
        "Conv", [source, f"{name}.w", f"{name}.b"], [name],
        kernel_shape=[step, step], strides=[step, step],
    )  # fmt: skip


def classifier(path: Path) -> Path:
    """Compile an image of 224 x 224 -> 1000 numbers, in float."""
    weights: Weights = {}
    nodes = [
        _conv("image", "patches", (3, 64), 16, weights, 1),
        helper.make_node("Relu", ["patches"], ["active"]),
        _conv("active", "wide", (64, 1000), 1, weights, 2),
        helper.make_node("GlobalAveragePool", ["wide"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["scores"]),
    ]
    compile(_model(nodes, weights, 224, {"scores": [1, 1000]}), path, precision="float32")
    return path


def detector(path: Path) -> Path:
    """Compile an image of 640 x 640 -> 8400 boxes of 4 + 80 numbers, in float."""
    weights: Weights = {}
    nodes, grids = [], []
    for step in (8, 16, 32):
        weights[f"shape{step}"] = np.array([1, 84, (640 // step) ** 2], np.int64)
        nodes += [
            _conv("image", f"grid{step}", (3, 84), step, weights, step),
            helper.make_node("Reshape", [f"grid{step}", f"shape{step}"], [f"flat{step}"]),
        ]
        grids.append(f"flat{step}")
    weights["scale"] = np.concatenate([np.full(4, 400), np.ones(80)]).astype(np.float32)
    nodes += [
        helper.make_node("Concat", grids, ["all"], axis=2),
        helper.make_node("Transpose", ["all"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("Sigmoid", ["rows"], ["shares"]),
        helper.make_node("Mul", ["shares", "scale"], ["boxes"]),
    ]
    made = _model(nodes, weights, 640, {"boxes": [1, 8400, 84]})
    compile(made, path, precision="float32")
    return path


def heads(path: Path, size: int = 640, classes: int = 80, *, pixels: bool = True) -> Path:
    """Compile an image -> boxes and classes on three grids, each as an output of its own.

    Args:
        path: the file.
        size: of the image.
        classes: how many.
        pixels: whether callers bring uint8.
    """
    weights: Weights = {}
    nodes, outputs = [], {}
    for step in (8, 16, 32):
        for name, channels in (("box", 64), ("class", classes)):
            nodes.append(_conv("image", f"{name}{step}", (3, channels), step, weights, step))
            outputs[f"{name}{step}"] = [1, channels, size // step, size // step]
    model = _model(nodes, weights, size, outputs)
    if not pixels:
        compile(model, path, precision="float32")
        return path
    samples = np.random.default_rng(5).random((4, 3, size, size), np.float32)
    how = {"mean": [0, 0, 0], "std": [255, 255, 255], "channels": "RGB"}
    compile(model, path, calibration={"image": samples}, preprocess=how, measure=0)
    return path
