"""Builds ONNX graphs node by node, and networks of known shape with random weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
_IR_VERSION = 9

#: Expansion, channels, blocks and first stride of every stage.
#: Source: Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks (2018), table 2.
_MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class GraphBuilder:
    """Collects nodes and constants; every method returns the name of a value."""

    def __init__(self, opset: int = OPSET) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._opset = opset

    def constant(self, value: NDArray[Any], name: str = "") -> str:
        """Add a constant."""
        name = name or f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def scalar(self, value: float) -> str:
        """Add a float constant without dimensions."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return name

    def whole(self, *values: int) -> str:
        """Add a vector of int64."""
        return self.constant(np.array(values, np.int64))

    def node(self, op: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """Add a node with one output."""
        out = out or f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], name=out, **attributes))
        return out

    def model(
        self,
        name: str,
        inputs: Mapping[str, Sequence[int]],
        outputs: Mapping[str, Sequence[int]],
        kind: int = TensorProto.FLOAT,
    ) -> onnx.ModelProto:
        """Return the checked model; inputs are of type `kind`, outputs float."""
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(n, kind, list(s)) for n, s in inputs.items()],
            [
                helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s))
                for n, s in outputs.items()
            ],
            self.constants,
        )
        opsets = [helper.make_opsetid("", self._opset)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        onnx.checker.check_model(made)
        return made


def he_normal(rng: np.random.Generator, shape: Sequence[int]) -> NDArray[np.float32]:
    """Return weights [O, ...] that keep the variance through a ReLU.

    Source: He et al., Delving Deep into Rectifiers (2015), equation 10.
    """
    deviation = np.sqrt(2 / np.prod(shape[1:]))
    return rng.normal(0, deviation, tuple(shape)).astype(np.float32)


class _MobileNetV2:
    """The layers of MobileNetV2 on 224x224 pixels."""

    def __init__(self, seed: int) -> None:
        self.graph = GraphBuilder()
        self._rng = np.random.default_rng(seed)
        self._zero, self._six = self.graph.scalar(0.0), self.graph.scalar(6.0)

    def conv(self, x: str, shape: tuple[int, ...], stride: int = 1, *, relu6: bool = True) -> str:
        """Add a convolution with weights of `shape`; one input channel means depthwise."""
        g, pad = self.graph, shape[2] // 2
        bias = self._rng.normal(0, 0.1, shape[0]).astype(np.float32)
        y = g.node(
            *("Conv", x, g.constant(he_normal(self._rng, shape)), g.constant(bias)),
            kernel_shape=shape[2:],
            strides=[stride, stride],
            pads=[pad] * 4,
            group=shape[0] if shape[1] == 1 else 1,
        )
        return g.node("Clip", y, self._zero, self._six) if relu6 else y

    def block(self, x: str, ratio: int, before: int, after: int, stride: int) -> str:
        """Add expansion, depthwise convolution and projection, and the residual if it fits."""
        wide, y = before * ratio, x
        if ratio != 1:
            y = self.conv(y, (wide, before, 1, 1))
        y = self.conv(y, (wide, 1, 3, 3), stride)
        y = self.conv(y, (after, wide, 1, 1), relu6=False)
        return self.graph.node("Add", y, x) if stride == 1 and before == after else y


def mobilenet_v2(seed: int = 0) -> onnx.ModelProto:
    """Return MobileNetV2 with random weights: ``input [1, 3, 224, 224]``, ``logits [1, 1000]``."""
    net = _MobileNetV2(seed)
    x, channels = net.conv("input", (32, 3, 3, 3), 2), 32
    for ratio, after, blocks, first in _MOBILENET_V2:
        for index in range(blocks):
            x = net.block(x, ratio, channels, after, first if index == 0 else 1)
            channels = after
    g = net.graph
    x = net.conv(x, (1280, channels, 1, 1))
    x = g.node("Flatten", g.node("GlobalAveragePool", x))
    rng = np.random.default_rng(seed + 1)
    weight = g.constant(he_normal(rng, (1000, 1280)))
    g.node("Gemm", x, weight, g.constant(np.zeros(1000, np.float32)), out="logits", transB=1)
    return g.model("mobilenet_v2", {"input": (1, 3, 224, 224)}, {"logits": (1, 1000)})
