"""Small compiler graphs, as the passes leave them."""

from typing import Any

import numpy as np
import onnx

from maccel_aio.compiler.calibration import TensorStats, default_axis
from maccel_aio.compiler.ir import Activation, ConvWeights, Graph, Node, Residual, Tensor
from tests.compiler.evaluator import Evaluator

F32 = np.dtype(np.float32)
RELU = Activation("clamp", 0.0, float("inf"))


def weights_of(node: Node) -> ConvWeights:
    """Return the float weights of a node that has some."""
    assert node.weights is not None
    return node.weights


class Builder:
    """Adds nodes one after another; `graph` makes the result."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Node] = []
        self.tensors = {"x": Tensor("x", shape, F32)}

    def add(self, op: str, inputs: list[str], shape: tuple[int, ...], **more: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.tensors[name] = Tensor(name, shape, F32)
        fields = {k: more.pop(k) for k in ("act", "residual", "weights") if k in more}
        self.nodes.append(Node(op, name, inputs, [name], more, **fields))
        return name

    def conv(
        self,
        x: str,
        outputs: int,
        *,
        kernel: int = 1,
        group: int = 1,
        act: Activation | None = None,
        residual: str | None = None,
    ) -> str:
        _, channels, height, width = self.tensors[x].dims
        shape = (outputs, channels // group, kernel, kernel)
        weights = ConvWeights(
            (self.rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32),
            self.rng.normal(size=outputs).astype(np.float32),
        )
        pad = kernel // 2
        return self.add(
            "Conv",
            [x] if residual is None else [x, residual],
            (1, outputs, height, width),
            kernel=(kernel, kernel),
            strides=(1, 1),
            dilations=(1, 1),
            pads=(pad,) * 4,
            group=group,
            weights=weights,
            act=act,
            residual=None if residual is None else Residual(residual),
        )

    def graph(self, *outputs: str) -> Graph:
        empty = onnx.ModelProto()
        return Graph("g", self.nodes, self.tensors, ["x"], list(outputs), empty)


def feeds(graph: Graph, count: int, seed: int = 1) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    shape = graph.tensor("x").dims
    return [{"x": rng.normal(size=shape).astype(np.float32)} for _ in range(count)]


def statistics(graph: Graph, samples: list[dict[str, np.ndarray]]) -> dict[str, TensorStats]:
    """Statistics of the graph in float: call it before quantisation."""
    found: dict[str, TensorStats] = {}
    for sample in samples:
        for name, value in Evaluator(graph).run(sample).items():
            found.setdefault(name, TensorStats(default_axis(value.ndim))).add(value)
    return found
