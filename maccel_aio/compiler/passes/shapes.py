"""Operators that move elements without computing, in their canonical forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.passes.rules import (
    Unsupported,
    axis_of,
    const_input,
    ints,
    operand,
    opset,
    shape_of,
)

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Graph, Node

_FAR = 1 << 31


def reshape(graph: Graph, node: Node) -> Node:
    """Return the Reshape that Reshape, Flatten, Squeeze, Unsqueeze and Identity are."""
    shape_of(graph, node.output)
    node.op, node.attrs, node.inputs = "Reshape", {}, node.inputs[:1]
    return node


def trains(graph: Graph, node: Node) -> bool:
    """Return whether a Dropout drops, or may."""
    name = operand(node, 2)
    mode = graph.const(name) if name else False
    return mode is None or bool(np.any(mode))


def dropout(graph: Graph, node: Node) -> Node:
    """Return the Reshape that Dropout is at inference."""
    if any(out and graph.consumers().get(out) for out in node.outputs[1:]):
        raise Unsupported("the mask of Dropout is read")
    if trains(graph, node):
        raise Unsupported("training mode")
    node.outputs = node.outputs[:1]
    return reshape(graph, node)


def transpose(graph: Graph, node: Node) -> Node:
    """Return the canonical form of Transpose."""
    rank = len(shape_of(graph, node.inputs[0]))
    perm = node.attrs.get("perm") or range(rank - 1, -1, -1)
    node.attrs = {"perm": tuple(axis_of(int(p), rank) for p in perm)}
    return node


def concat(graph: Graph, node: Node) -> Node:
    """Return the canonical form of Concat."""
    node.attrs = {"axis": axis_of(int(node.attrs["axis"]), len(shape_of(graph, node.output)))}
    for name in node.inputs:
        value = graph.const(name)
        if value is not None and value.dtype != np.float32:
            raise Unsupported(f"a constant of type {value.dtype}")
    return node


def split(graph: Graph, node: Node) -> Node:
    """Return the canonical form of Split: where each part starts."""
    shape = shape_of(graph, node.inputs[0])
    axis = axis_of(int(node.attrs.get("axis", 0)), len(shape))
    sizes = [shape_of(graph, out)[axis] for out in node.outputs]
    offsets = tuple(int(x) for x in np.cumsum([0, *sizes[:-1]]))
    node.attrs, node.inputs = {"axis": axis, "offsets": offsets}, node.inputs[:1]
    return node


def slice_(graph: Graph, node: Node) -> Node:
    """Return the canonical form of Slice: start, size and step of every dimension."""
    shape = shape_of(graph, node.inputs[0])
    starts, ends = ints(graph, node, "starts", 1), ints(graph, node, "ends", 2)
    if starts is None or ends is None:
        raise Unsupported("bounds are missing")
    axes = ints(graph, node, "axes", 3) or list(range(len(starts)))
    steps = ints(graph, node, "steps", 4) or [1] * len(starts)
    first, step = [0] * len(shape), [1] * len(shape)
    for axis, begin, by in zip(axes, starts, steps, strict=True):
        where = axis_of(axis, len(shape))
        if by < 1:
            raise Unsupported("a backward slice")
        begin = axis_of(max(begin, -_FAR), shape[where])
        first[where], step[where] = min(max(begin, 0), shape[where]), by
    sizes = shape_of(graph, node.output)
    node.attrs = {"starts": tuple(first), "sizes": sizes, "steps": tuple(step)}
    node.inputs = node.inputs[:1]
    return node


def gather(graph: Graph, node: Node) -> Node:
    """Return the Slice that a Gather with constant, evenly spaced indices is."""
    shape = shape_of(graph, node.inputs[0])
    indices = const_input(graph, node, 1, "the index")
    if indices is None or indices.ndim > 1:
        raise Unsupported("a table of indices")
    axis = axis_of(int(node.attrs.get("axis", 0)), len(shape))
    flat = [axis_of(int(x), shape[axis]) for x in np.atleast_1d(indices)]
    steps = set(np.diff(flat).tolist()) or {1}
    if len(steps) != 1 or min(steps) < 1:
        raise Unsupported("indices that are not evenly spaced")
    starts, by = [0] * len(shape), [1] * len(shape)
    starts[axis], by[axis] = flat[0], int(steps.pop())
    sizes = (*shape[:axis], len(flat), *shape[axis + 1 :])
    node.op, node.inputs = "Slice", node.inputs[:1]
    node.attrs = {"starts": tuple(starts), "sizes": sizes, "steps": tuple(by)}
    return node


def pad(graph: Graph, node: Node) -> Node:
    """Return the canonical form of Pad with a constant."""
    if node.attrs.get("mode", "constant") != "constant":
        raise Unsupported(f"mode {node.attrs['mode']}")
    rank = len(shape_of(graph, node.inputs[0]))
    pads = ints(graph, node, "pads", 1)
    if pads is None:
        raise Unsupported("pads are missing")
    axes = ints(graph, node, "axes", 3)
    value = const_input(graph, node, 2, "the value")
    fill = float(node.attrs.get("value", 0.0)) if value is None else float(value.reshape(-1)[0])
    full = [0] * (2 * rank)
    for k, axis in enumerate(axes if axes is not None else range(rank)):
        where = axis_of(axis, rank)
        full[where], full[rank + where] = pads[k], pads[k + len(pads) // 2]
    if min(full, default=0) < 0:
        raise Unsupported("negative padding")
    node.attrs, node.inputs = {"pads": tuple(full), "value": fill}, node.inputs[:1]
    return node


def expand(graph: Graph, node: Node) -> Node:
    """Return the Expand that Expand, and Tile of dimensions of size 1, are."""
    before, after = shape_of(graph, node.inputs[0]), shape_of(graph, node.output)
    if node.op == "Tile" and any(a != b and b != 1 for a, b in zip(after, before, strict=True)):
        raise Unsupported("a repeated dimension")
    node.op, node.attrs, node.inputs = "Expand", {}, node.inputs[:1]
    return node


def depth_space(graph: Graph, node: Node) -> Node:
    """Return the canonical form of DepthToSpace and SpaceToDepth."""
    if len(shape_of(graph, node.inputs[0])) != 4:
        raise Unsupported("not an image")
    if node.op == "SpaceToDepth" and node.attrs.get("mode", "DCR") != "DCR":
        raise Unsupported("mode CRD")
    node.attrs = {
        "blocksize": int(node.attrs["blocksize"]),
        "mode": str(node.attrs.get("mode", "DCR")),
    }
    return node


def softmax(graph: Graph, node: Node) -> Node:
    """Return the canonical form of Softmax and LogSoftmax."""
    rank = len(shape_of(graph, node.inputs[0]))
    flat = opset(graph) < 13
    axis = axis_of(int(node.attrs.get("axis", 1 if flat else -1)), rank)
    node.attrs = {
        "axis": axis,
        "log": node.op == "LogSoftmax",
        "flat": flat and axis != rank - 1,
        "scale": 1.0,
    }
    node.op = "Softmax"
    return node


def layer_norm(graph: Graph, node: Node) -> Node:
    """Return the canonical form of LayerNormalization over the last dimension."""
    rank = len(shape_of(graph, node.inputs[0]))
    if axis_of(int(node.attrs.get("axis", -1)), rank) != rank - 1:
        raise Unsupported("more than the last dimension is normalised")
    if any(out for out in node.outputs[1:]):
        raise Unsupported("mean or deviation is wanted")
    scale = const_input(graph, node, 1, "the scale")
    bias = const_input(graph, node, 2, "the bias")
    node.attrs = {
        "epsilon": float(node.attrs.get("epsilon", 1e-5)),
        "rms": node.op == "RMSNormalization",
        "scale": None if scale is None else np.asarray(scale, np.float32).ravel(),
        "bias": None if bias is None else np.asarray(bias, np.float32).ravel(),
    }
    node.op, node.inputs = "LayerNorm", node.inputs[:1]
    return node
