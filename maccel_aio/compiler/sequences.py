"""Sequences and optional values among a model's inputs and outputs, as tensors: what callers have.

A sequence of tensors of one shape is a tensor with one dimension more in front, of variable length.
An optional value is the value itself: it is always there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
from onnx import helper

from maccel_aio.compiler.onnxgraph import rename_value

if TYPE_CHECKING:
    from collections.abc import Sequence

_INWARD: dict[str, tuple[str, dict[str, Any]]] = {
    "sequence": ("SplitToSequence", {"axis": 0, "keepdims": 0}),
    "optional": ("Optional", {}),
}
_OUTWARD: dict[str, tuple[str, dict[str, Any]]] = {
    "sequence": ("ConcatFromSequence", {"axis": 0, "new_axis": 1}),
    "optional": ("OptionalGetElement", {}),
}


def unpack_edges(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Give `model` tensors for inputs and outputs that are none; changed in place.

    What holds no tensors, such as a map, stays as it is.

    Returns:
        Shapes of the inputs that were sequences of tensors of known shape; -1 is their length.
    """
    graph = model.graph
    shapes: dict[str, tuple[int, ...]] = {}
    before: list[onnx.NodeProto] = []
    behind: list[onnx.NodeProto] = []
    for value in graph.input:
        kinds = _flatten(value)
        if not kinds:
            continue
        sizes = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if "sequence" in kinds and len(sizes) > 0 and all(sizes[1:]):
            shapes[value.name] = (-1, *sizes[1:])
        before += _chain(graph, value.name, kinds[::-1])
    for value in graph.output:
        kinds = _flatten(value)
        if kinds:
            behind += _chain(graph, value.name, kinds, outward=True)
    nodes = [*before, *graph.node, *behind]
    del graph.node[:]
    graph.node.extend(nodes)
    return shapes


def _flatten(value: onnx.ValueInfoProto) -> list[str]:
    """Make a value a tensor; return what was around it, from the outside in."""
    kinds: list[str] = []
    inner = value.type
    while not inner.HasField("tensor_type"):
        kind = next((k for k in _INWARD if inner.HasField(f"{k}_type")), None)
        if kind is None:
            return []
        kinds.append(kind)
        inner = getattr(inner, f"{kind}_type").elem_type
    if kinds:
        tensor = onnx.TypeProto()
        tensor.CopyFrom(inner)
        if "sequence" in kinds and tensor.tensor_type.HasField("shape"):
            dims = [onnx.TensorShapeProto.Dimension(), *tensor.tensor_type.shape.dim]
            tensor.tensor_type.shape.CopyFrom(onnx.TensorShapeProto(dim=dims))
        value.type.CopyFrom(tensor)
    return kinds


def _chain(
    graph: onnx.GraphProto, name: str, kinds: Sequence[str], *, outward: bool = False
) -> list[onnx.NodeProto]:
    """Return the nodes between a tensor of callers and the value that the graph has."""
    steps = [f"{name}:{number}" for number in range(len(kinds))]
    rename_value(graph.node, name, steps[-1] if not outward else steps[0])
    names = [*steps, name] if outward else [name, *steps]
    table = _OUTWARD if outward else _INWARD
    made = []
    for kind, source, target in zip(kinds, names[:-1], names[1:], strict=True):
        op, attrs = table[kind]
        made.append(helper.make_node(op, [source], [target], name=target, **attrs))
    return made
