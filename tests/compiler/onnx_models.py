"""Small ONNX models for the compiler's tests: one operator, or a few, on random data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclass
class Model:
    """Collects nodes; inputs and outputs are float32 where `types` says nothing else."""

    inputs: dict[str, tuple[int, ...]]
    opset: int = 17
    seed: int = 0
    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)
    types: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.count = 0

    def const(self, value: Any, dtype: Any = None) -> str:
        array = np.asarray(value, dtype)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def random(self, *shape: int, scale: float = 1.0) -> str:
        return self.const((self.rng.standard_normal(shape) * scale).astype(np.float32))

    def add(self, op: str, *inputs: str, outputs: int = 1, **attrs: Any) -> Any:
        names = [f"t{self.count + k}" for k in range(outputs)]
        self.count += outputs
        self.nodes.append(helper.make_node(op, list(inputs), names, name=f"n{names[0]}", **attrs))
        return names[0] if outputs == 1 else names

    def conv(self, x: str, shape: tuple[int, ...], *, bias: bool = True, **attrs: Any) -> str:
        fan = float(np.prod(shape[1:])) ** 0.5
        names = [self.random(*shape, scale=1 / fan)]
        if bias:
            names.append(self.random(shape[0], scale=0.3))
        return str(self.add("Conv", x, *names, **attrs))

    def build(self, *outputs: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "test",
            [
                helper.make_tensor_value_info(n, self.types.get(n, TensorProto.FLOAT), s)
                for n, s in self.inputs.items()
            ],
            [
                helper.make_tensor_value_info(n, self.types.get(n, TensorProto.FLOAT), None)
                for n in outputs
            ],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 8
        return onnx.shape_inference.infer_shapes(model)

    def feed(self, samples: int = 0) -> dict[str, np.ndarray]:
        lead = (samples,) if samples else ()
        return {
            name: self.rng.standard_normal((*lead, *shape)).astype(np.float32)
            for name, shape in self.inputs.items()
        }
