"""Pads that repeat what they surround (reflect, edge, wrap) as slices that are joined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import onnx
from onnx import TensorProto, helper, numpy_helper

from maccel_aio.compiler.onnxgraph import attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from maccel_aio.compiler.ir import Array

_MODES = ("reflect", "edge", "wrap")
_MOST_PIECES = 64
"""On one side of one axis; above this, a trip to the host costs less."""
_SLICE_INPUTS = 10
"""From this operator set on Slice has its numbers as inputs."""


class _Side(NamedTuple):
    """Padding of one axis that is `size` long."""

    axis: int
    size: int
    before: int
    after: int

    def pieces(self, mode: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]] | None:
        """Return (start, stop) of the slices before and after; None if the mode has no answer."""
        size, most = self.size, max(self.before, self.after)
        if mode == "wrap":
            if most > size:
                return None
            before = [(size - self.before, size)] if self.before else []
            return before, [(0, self.after)] if self.after else []
        if most > _MOST_PIECES:
            return None
        if mode == "edge":
            return [(0, 1)] * self.before, [(size - 1, size)] * self.after
        if most >= size:
            return None
        before = [(k, k + 1) for k in range(self.before, 0, -1)]
        return before, [(k, k + 1) for k in range(size - 2, size - 2 - self.after, -1)]


def expand_pads(
    model: onnx.ModelProto, infer: Callable[[onnx.ModelProto], onnx.ModelProto]
) -> onnx.ModelProto:
    """Return `model` with every such Pad of float32 as Slice and Concat.

    Args:
        model: with inferred shapes.
        infer: returns a model with inferred shapes.
    """
    if not any(_mode(node) in _MODES for node in model.graph.node):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    done = _Expander(result).run()
    return infer(result) if done else model


def _mode(node: onnx.NodeProto) -> str:
    if node.op_type != "Pad" or node.domain not in ("", "ai.onnx"):
        return ""
    return str(attributes(node).get("mode", "constant"))


class _Expander:
    """Works on one model in place; used once."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        values = (*model.graph.input, *model.graph.value_info)
        self.types = {v.name: v.type.tensor_type for v in values}
        self.constants: dict[str, Array] = {
            c.name: numpy_helper.to_array(c) for c in model.graph.initializer
        }
        for node in model.graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self.version = max(
            (o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1
        )
        self.nodes: list[onnx.NodeProto] = []

    def run(self) -> bool:
        """Rewrite the graph; return whether anything was found."""
        changed = False
        for node in self.graph.node:
            mode = _mode(node)
            sides = self._sides(node) if mode in _MODES else None
            if sides is None or any(side.pieces(mode) is None for side in sides):
                self.nodes.append(node)
                continue
            self._expand(node, mode, sides)
            changed = True
        if changed:
            del self.graph.node[:]
            self.graph.node.extend(self.nodes)
        return changed

    def _sides(self, node: onnx.NodeProto) -> list[_Side] | None:
        """Return the axes that grow; None if they are not known."""
        kind = self.types.get(node.input[0])
        pads = self._numbers(node, "pads", 1)
        if kind is None or kind.elem_type != TensorProto.FLOAT or pads is None or min(pads) < 0:
            return None
        sizes = [d.dim_value for d in kind.shape.dim]
        if not sizes or min(sizes) < 1:
            return None
        named = len(node.input) > 3 and node.input[3]
        axes = self._numbers(node, "axes", 3) if named else list(range(len(sizes)))
        if axes is None:
            return None
        half = len(pads) // 2
        found = [
            _Side(axis % len(sizes), sizes[axis], before, after)
            for axis, before, after in zip(axes, pads[:half], pads[half:], strict=True)
        ]
        return [side for side in found if side.before or side.after]

    def _numbers(self, node: onnx.NodeProto, attr: str, index: int) -> list[int] | None:
        attrs: Mapping[str, list[int]] = attributes(node)
        if attr in attrs:
            return list(attrs[attr])
        known = self.constants.get(node.input[index]) if index < len(node.input) else None
        return None if known is None else [int(x) for x in known.ravel()]

    def _expand(self, node: onnx.NodeProto, mode: str, sides: Sequence[_Side]) -> None:
        out, name = node.output[0], node.input[0]
        base = node.name or out
        if not sides:
            self.nodes.append(helper.make_node("Identity", [name], [out], name=base))
        for number, side in enumerate(sides):
            last = number == len(sides) - 1
            pieces = side.pieces(mode)
            assert pieces is not None  # looked at before
            names = [
                [self._slice(name, side.axis, piece, f"{out}:{side.axis}") for piece in part]
                for part in pieces
            ]
            made = out if last else f"{out}:{side.axis}"
            title = base if last else f"{base}:{side.axis}"
            joined = [*names[0], name, *names[1]]
            self.nodes.append(
                helper.make_node("Concat", joined, [made], name=title, axis=side.axis)
            )
            name = made

    def _slice(self, source: str, axis: int, piece: tuple[int, int], base: str) -> str:
        """Add a slice, unless it is there, and return what it writes."""
        made = f"{base}:{piece[0]}:{piece[1]}"
        if any(node.output[0] == made for node in self.nodes):
            return made
        values: dict[str, Any] = {"starts": [piece[0]], "ends": [piece[1]], "axes": [axis]}
        if self.version < _SLICE_INPUTS:
            node = helper.make_node("Slice", [source], [made], name=made, **values)
        else:
            inputs = [source, *(f"{made}:{what}" for what in values)]
            for what, numbers in values.items():
                tensor = helper.make_tensor(f"{made}:{what}", TensorProto.INT64, [1], numbers)
                self.graph.initializer.append(tensor)
            node = helper.make_node("Slice", inputs, [made], name=made)
        self.nodes.append(node)
        return made
