"""Moves look-ups and conversions to float in front of views, so that they read what is uploaded.

Exporters shape masks and token ids while they are integers. Integers reach the device from its
host only, so what the device does with them has to come first:
``Cast(Unsqueeze(ids))`` becomes ``Unsqueeze(Cast(ids))``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable

    Infer = Callable[[onnx.ModelProto], onnx.ModelProto]

_RESHAPES = frozenset({"Reshape", "Unsqueeze", "Squeeze", "Flatten"})
_VIEWS = _RESHAPES | {"Transpose", "Slice", "Expand", "Identity"}
_INTEGERS = (TensorProto.INT32, TensorProto.INT64)


def views_last(model: onnx.ModelProto, infer: Infer) -> onnx.ModelProto:
    """Return `model` with look-ups and casts to float in front of the views of integers.

    Args:
        model: with inferred shapes.
        infer: returns a model with inferred shapes.
    """
    if _Swaps(model.graph).next() is None:
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    swaps = _Swaps(result.graph)
    while (found := swaps.next()) is not None:
        swaps.exchange(found)
    return infer(result)


class _Swaps:
    """Exchanges operators and the views before them. Used by one thread."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.makers = {out: node for node in graph.node for out in node.output}
        self.weights = {c.name: tuple(c.dims) for c in graph.initializer}
        values = (*graph.input, *graph.value_info, *graph.output)
        self.types = {v.name: v.type.tensor_type.elem_type for v in values}
        self.shapes = {v.name: _sizes(v) for v in values}

    def next(self) -> int | None:
        """Return the number of the first node that can be exchanged with the view before it."""
        nodes = enumerate(self.graph.node)
        return next((k for k, n in nodes if n.domain == "" and self._reads_view(n)), None)

    def _reads_view(self, node: onnx.NodeProto) -> bool:
        if node.op_type == "Cast":
            to_float = self.types.get(node.output[0]) == TensorProto.FLOAT
            return to_float and self._is_view(node.input[0], _VIEWS)
        if node.op_type != "Gather" or node.input[0] not in self.weights:
            return False
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        known = self.shapes.get(node.output[0]) is not None
        return axis == 0 and known and self._is_view(node.input[1], _RESHAPES)

    def _is_view(self, name: str, views: frozenset[str]) -> bool:
        maker = self.makers.get(name)
        if maker is None or maker.op_type not in views or maker.domain:
            return False
        return self.types.get(maker.input[0]) in _INTEGERS

    def exchange(self, number: int) -> None:
        """Let a node read what its view reads, and put a copy of the view behind it."""
        node = self.graph.node[number]
        slot = 0 if node.op_type == "Cast" else 1
        view, out, name = self.makers[node.input[slot]], node.output[0], node.name
        base = f"{out}:flat"
        node.name, node.output[:], node.input[slot] = base, [base], view.input[0]
        late = onnx.NodeProto()
        if slot == 0:
            late.CopyFrom(view)
            late.input[0], late.output[:] = base, [out]
        else:
            late = self._reshape(base, out)
        late.name = name or out
        self.graph.node.insert(number + 1, late)
        self.makers |= {base: node, out: late}
        self.types[base] = self.types.get(out, TensorProto.FLOAT)
        self.shapes[base] = self._early_shape(node, view)

    def _early_shape(self, node: onnx.NodeProto, view: onnx.NodeProto) -> tuple[int, ...] | None:
        before = self.shapes.get(view.input[0])
        if before is None or node.op_type == "Cast":
            return before
        return (*before, *self.weights[node.input[0]][1:])

    def _reshape(self, source: str, out: str) -> onnx.NodeProto:
        sizes = self.shapes[out]
        assert sizes is not None  # what `_reads_view` asks for
        shape = np.asarray(sizes, np.int64)
        self.graph.initializer.append(numpy_helper.from_array(shape, f"{out}:shape"))
        return onnx.helper.make_node("Reshape", [source, f"{out}:shape"], [out])


def _sizes(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    sizes = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
    return sizes if all(size > 0 for size in sizes) else None
