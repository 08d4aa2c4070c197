"""What expansions of one ONNX node into several share: fresh names, constants, shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, DTypeLike

    Expansion = Callable[["Parts", onnx.NodeProto], bool]
    Infer = Callable[[onnx.ModelProto], onnx.ModelProto]


class Parts:
    """Collects the nodes that take the place of one. Used by one thread.

    Attributes:
        shapes: static shapes by tensor name; what is made is added.
        types: ONNX element types by tensor name.
    """

    def __init__(self, graph: onnx.GraphProto, base: str) -> None:
        values = (*graph.input, *graph.value_info, *graph.output)
        self.shapes = {v.name: _sizes(v) for v in values} | {
            c.name: tuple(c.dims) for c in graph.initializer
        }
        self.types = {v.name: v.type.tensor_type.elem_type for v in values} | {
            c.name: c.data_type for c in graph.initializer
        }
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._base = base

    def known(self, *names: str) -> bool:
        """Whether all of these tensors have static shapes."""
        return all(min(self.shapes.get(name, (0,)), default=1) > 0 for name in names)

    def const(self, value: ArrayLike, dtype: DTypeLike) -> str:
        """Return the name of a new constant."""
        name = f"{self._base}:c{len(self.constants)}"
        array = np.asarray(value, dtype)
        self.constants.append(numpy_helper.from_array(array, name))
        self.shapes[name] = array.shape
        return name

    def node(self, op: str, *inputs: str, out: str = "", **attrs: int | Sequence[int]) -> str:
        """Add a node and return its output; `out` names it."""
        made = out or f"{self._base}:{len(self.nodes)}"
        name = f"{self._base}:{op.lower()}{len(self.nodes)}"
        proto = onnx.helper.make_node(op, list(inputs), [made], name=name)
        proto.attribute.extend(onnx.helper.make_attribute(k, v) for k, v in attrs.items())
        self.nodes.append(proto)
        return made

    def reshape(self, x: str, shape: Sequence[int], out: str = "") -> str:
        """Add a Reshape to a shape without zeros."""
        made = self.node("Reshape", x, self.const(list(shape), np.int64), out=out)
        self.shapes[made] = tuple(shape)
        return made

    def transpose(self, x: str, perm: Sequence[int], out: str = "") -> str:
        """Add a Transpose of a tensor whose shape is known."""
        made = self.node("Transpose", x, out=out, perm=list(perm))
        self.shapes[made] = tuple(self.shapes[x][p] for p in perm)
        return made


def _sizes(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    if not value.type.tensor_type.HasField("shape"):
        return (0,)
    return tuple(d.dim_value for d in value.type.tensor_type.shape.dim)


def expand_nodes(
    model: onnx.ModelProto, op: str, expansion: Expansion, infer: Infer
) -> onnx.ModelProto:
    """Return `model` with the nodes of one operator replaced where the expansion knows how.

    Args:
        model: with inferred shapes.
        op: the operator, of ONNX's own domain.
        expansion: adds the nodes; returns False where it has no form of this one.
        infer: returns a model with inferred shapes.
    """
    if not any(n.op_type == op and n.domain == "" for n in model.graph.node):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        parts = Parts(model.graph, node.name or node.output[0])
        if node.op_type == op and node.domain == "" and expansion(parts, node):
            nodes.extend(parts.nodes)
            result.graph.initializer.extend(parts.constants)
        else:
            nodes.append(node)
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    return infer(result)
