"""Small networks that use most operations, compiled, for tests of the whole path."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import maccel_aio

Array = NDArray[np.float32]
INPUT = (3, 32, 32)


class Builder:
    """Collects nodes and weights of one graph; every method returns the name of its result."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, *shape: int) -> str:
        fan_in = float(np.prod(shape[1:])) or 1.0
        values = self.rng.normal(0, fan_in**-0.5, shape).astype(np.float32)
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def conv(self, x: str, channels: tuple[int, int], kernel: int, **attributes: Any) -> str:
        """Add a convolution from channels[0] to channels[1] that keeps the size at stride 1."""
        group = attributes.get("group", 1)
        weight = self.weight(channels[1], channels[0] // group, kernel, kernel)
        pads = [kernel // 2] * 4
        return self.node("Conv", x, weight, self.weight(channels[1]), pads=pads, **attributes)

    def model(
        self, inputs: dict[str, tuple[int, ...]], outputs: dict[str, tuple[int, ...]]
    ) -> onnx.ModelProto:
        """Return the checked model."""

        def values(ports: dict[str, tuple[int, ...]]) -> list[onnx.ValueInfoProto]:
            make = helper.make_tensor_value_info
            return [make(name, TensorProto.FLOAT, shape) for name, shape in ports.items()]

        for name, internal in zip(outputs, self.ends, strict=True):
            self.nodes.append(helper.make_node("Identity", [internal], [name]))
        graph = helper.make_graph(
            self.nodes, "network", values(inputs), values(outputs), self.weights
        )
        made: onnx.ModelProto = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
        )
        onnx.checker.check_model(made, full_check=True)
        return made

    ends: tuple[str, ...] = ()


def classifier() -> onnx.ModelProto:
    """Convolution, pool, fully connected: the smallest complete network."""
    b = Builder(1)
    x = b.node("Relu", b.conv("input", (3, 8), 3))
    x = b.node("Flatten", b.node("GlobalAveragePool", x))
    b.ends = (b.node("Gemm", x, b.weight(8, 10), b.weight(10)),)
    return b.model({"input": (1, *INPUT)}, {"scores": (1, 10)})


def painter() -> onnx.ModelProto:
    """A picture in, a picture of the same size out."""
    b = Builder(3)
    b.ends = (b.conv("input", (3, 3), 3),)
    return b.model({"input": (1, *INPUT)}, {"picture": (1, *INPUT)})


def mixed() -> onnx.ModelProto:
    """Depthwise, residual, concatenation, upsampling, activations; image and vector outputs."""
    b = Builder(2)
    stem = b.node("Relu", b.conv("input", (3, 20), 3, strides=[2, 2]))
    depthwise = b.node("HardSwish", b.conv(stem, (20, 20), 3, group=20))
    wide = b.node("Add", stem, b.conv(depthwise, (20, 20), 1))
    pooled = b.node("MaxPool", wide, kernel_shape=[2, 2], strides=[2, 2])
    deep = b.node("LeakyRelu", b.conv(pooled, (20, 36), 3, dilations=[1, 1]), alpha=0.1)
    grouped = b.node("Sigmoid", b.conv(deep, (36, 36), 3, group=4))
    scaled = b.node("Mul", deep, grouped)
    sizes = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "sizes")
    b.weights.append(sizes)
    upsampled = b.node("Resize", scaled, "", "sizes", mode="nearest", nearest_mode="floor",
                       coordinate_transformation_mode="asymmetric")  # fmt: skip
    image = b.conv(b.node("Concat", upsampled, wide, axis=1), (56, 5), 1)
    flat = b.node("Flatten", b.node("GlobalAveragePool", scaled))
    vector = b.node("Softmax", b.node("Gemm", flat, b.weight(36, 17), b.weight(17)), axis=1)
    b.ends = (image, vector)
    return b.model({"input": (1, *INPUT)}, {"image": (1, 5, 16, 16), "classes": (1, 17)})


def samples(count: int, seed: int = 0) -> Array:
    """Return inputs for both networks, [count, 3, 32, 32], around zero."""
    values = np.random.default_rng(seed).normal(0, 1, (count, *INPUT))
    return values.astype(np.float32)


def compile_to(folder: Path, network: onnx.ModelProto, name: str) -> Path:
    """Compile a network of this module; return the file."""
    path = folder / f"{name}.mxq"
    maccel_aio.compile(network, path, calibration={"input": samples(8, seed=99)})
    return path
