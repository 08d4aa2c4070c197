"""Operators on codes (QLinearConv and its like) as float operators between quantising pairs.

Both say the same: codes in, the real computation, rounding to the codes of the output. The formulas
are those of the ONNX operators QLinearConv, QLinearMatMul, QuantizeLinear and DequantizeLinear, and
of onnxruntime's contributed operators. What has no row here stays as it is, for a CPU segment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from maccel_aio.compiler.onnxgraph import attributes

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOVES = {
    "MaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Gather",
    "Split", "Identity", "DepthToSpace", "SpaceToDepth", "Expand",
}  # fmt: skip
"""Operators that hand codes on: one scale before and after."""


class _Row(NamedTuple):
    """How an operator on codes is written.

    Attributes:
        op: the float operator.
        codes: where the inputs that are codes begin; scale and zero point follow each.
        output: where scale and zero point of the output are.
        bias: where integer biases are, or -1.
        dropped: attributes that only the operator on codes has.
    """

    op: str
    codes: tuple[int, ...]
    output: int
    bias: int = -1
    dropped: tuple[str, ...] = ()


_ROWS = {
    "QLinearConv": _Row("Conv", (0, 3), 6, 8),
    "QLinearMatMul": _Row("MatMul", (0, 3), 6),
    "QGemm": _Row("Gemm", (0, 3), 7, 6),
    "QLinearAdd": _Row("Add", (0, 3), 6),
    "QLinearMul": _Row("Mul", (0, 3), 6),
    "QLinearSigmoid": _Row("Sigmoid", (0,), 3),
    "QLinearLeakyRelu": _Row("LeakyRelu", (0,), 3),
    "QLinearSoftmax": _Row("Softmax", (0,), 3, -1, ("opset",)),
    "QLinearAveragePool": _Row("AveragePool", (0,), 3, -1, ("channels_last",)),
    "QLinearGlobalAveragePool": _Row("GlobalAveragePool", (0,), 3, -1, ("channels_last",)),
}


_CONCAT = "QLinearConcat"

_ONE_AXIS = 13
"""From this operator set on Softmax works on one dimension, not on all from that on."""


def has_qoperators(model: onnx.ModelProto) -> bool:
    """Whether the model has operators on codes that can be written in float."""
    return any(node.op_type in (*_ROWS, _CONCAT) for node in model.graph.node)


def expand_qoperators(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return `model` with pairs of QuantizeLinear and DequantizeLinear around float operators."""
    if not has_qoperators(model):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    _Expander(result.graph, max(versions, default=_ONE_AXIS)).run()
    return result


class _Expander:
    """Works on one graph in place; used once."""

    def __init__(self, graph: onnx.GraphProto, version: int) -> None:
        self.graph = graph
        self.version = version
        self.constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        self.formats: dict[str, tuple[str, str]] = {}
        self.nodes: list[onnx.NodeProto] = []

    def run(self) -> None:
        for node in self.graph.node:
            row = _ROWS.get(node.op_type)
            if row is not None and self._can(node, row):
                self._expand(node, row)
            elif node.op_type == _CONCAT and all(n in self.constants for n in node.input[3::3]):
                self._concat(node)
            elif self._moves(node):
                self._move(node)
            else:
                self._keep(node)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)

    def _keep(self, node: onnx.NodeProto) -> None:
        known = len(node.input) > 2 and node.input[1] in self.constants
        if node.op_type == "QuantizeLinear" and known:
            self.formats[node.output[0]] = (node.input[1], node.input[2])
        self.nodes.append(node)

    def _moves(self, node: onnx.NodeProto) -> bool:
        """Whether all that a node makes are codes that it read."""
        places = node.op_type == "MaxPool" and len(node.output) > 1
        return node.op_type in _MOVES and node.input[0] in self.formats and not places

    def _can(self, node: onnx.NodeProto, row: _Row) -> bool:
        """Whether the float operator says all that this node says."""
        attrs = attributes(node)
        if attrs.get("channels_last", 0) or attrs.get("opset", 13) < 13:
            return False
        if row.op == "Softmax" and self.version < _ONE_AXIS and attrs.get("axis", -1) != -1:
            return False
        numbers = [name for at in row.codes for name in node.input[at + 1 : at + 3]]
        numbers += node.input[row.output : row.output + 2]
        if 0 <= row.bias < len(node.input):
            numbers.append(node.input[row.bias])
        known = [self.constants.get(name) for name in numbers if name]
        if any(value is None or value.dtype == np.float16 for value in known):
            return False
        return row.op != "Gemm" or attrs.get("alpha", 1.0) == 1.0

    def _expand(self, node: onnx.NodeProto, row: _Row) -> None:
        names = [self._real(node, at, row) for at in row.codes]
        if 0 <= row.bias < len(node.input) and node.input[row.bias]:
            names.append(self._bias(node, row))
        attrs = {k: v for k, v in attributes(node).items() if k not in row.dropped}
        if row.op == "Softmax":
            attrs.setdefault("axis", -1)  # the default of older operator sets is another
        if row.output >= len(node.input):  # QGemm without a scale of its output makes real values
            made = helper.make_node(row.op, names, node.output, name=node.name, **attrs)
            self.nodes.append(made)
            return
        self._write(node, row.op, names, attrs, list(node.input[row.output : row.output + 2]))

    def _write(
        self,
        node: onnx.NodeProto,
        op: str,
        inputs: Sequence[str],
        attrs: dict[str, Any],
        to: list[str],
    ) -> None:
        """Add the float operator and the quantiser of its only output."""
        out = node.output[0]
        real = f"{out}:real"
        name = node.name or out
        self.nodes.append(helper.make_node(op, list(inputs), [real], name=name, **attrs))
        self._quantise(real, out, to)

    def _quantise(self, real: str, out: str, to: list[str]) -> None:
        self.formats[out] = (to[0], to[1] if len(to) > 1 else "")
        name = f"{out}:quantise"
        self.nodes.append(helper.make_node("QuantizeLinear", [real, *to], [out], name=name))

    def _dequantise(self, source: str, numbers: Sequence[str], where: str, axis: int = 1) -> str:
        """Add a DequantizeLinear and return what it writes."""
        made = f"{where}:{source}"
        inputs = [source, *(name for name in numbers if name)]
        several = self.constants[inputs[1]].size > 1
        attrs: dict[str, Any] = (
            {"axis": axis} if several else {}
        )  # older operator sets have no axis
        node = helper.make_node("DequantizeLinear", inputs, [made], name=made, **attrs)
        self.nodes.append(node)
        return made

    def _real(self, node: onnx.NodeProto, at: int, row: _Row) -> str:
        """Return the float value of an input that is codes."""
        source, scale, zero = node.input[at : at + 3]
        axis = self._axis(node, at, row)
        return self._dequantise(source, (scale, zero), f"{node.output[0]}:{at}", axis)

    def _axis(self, node: onnx.NodeProto, at: int, row: _Row) -> int:
        """Return the dimension that scales of an input belong to, if there are several."""
        if row.op == "Conv":
            return 0 if at else 1
        if row.op == "Gemm" and at and attributes(node).get("transB", 0):
            return 0
        return 1 if row.op == "Gemm" else -1

    def _bias(self, node: onnx.NodeProto, row: _Row) -> str:
        """Return the float value of an integer bias: its step is the product of the scales."""
        first, second = (np.asarray(self.constants[node.input[at + 1]]) for at in row.codes)
        scale = np.asarray(first.ravel() * second.ravel(), np.float32)
        step = f"{node.output[0]}:step"
        if scale.size == 1:
            scale = scale.reshape(())
        self.graph.initializer.append(numpy_helper.from_array(scale, step))
        self.constants[step] = scale
        return self._dequantise(node.input[row.bias], (step,), f"{node.output[0]}:bias", -1)

    def _concat(self, node: onnx.NodeProto) -> None:
        out = node.output[0]
        names = [
            self._dequantise(node.input[at], node.input[at + 1 : at + 3], f"{out}:{at}")
            for at in range(2, len(node.input), 3)
        ]
        self._write(node, "Concat", names, attributes(node), list(node.input[:2]))

    def _move(self, node: onnx.NodeProto) -> None:
        """Let an operator that moves codes move real values."""
        scale, zero = self.formats[node.input[0]]
        moved = onnx.NodeProto()
        moved.CopyFrom(node)
        moved.input[0] = self._dequantise(node.input[0], (scale, zero), f"{node.output[0]}:0")
        moved.output[:] = [f"{out}:real" if out else "" for out in node.output]
        self.nodes.append(moved)
        for real, out in zip(moved.output, node.output, strict=True):
            if out:
                self._quantise(real, out, [scale, zero] if zero else [scale])
