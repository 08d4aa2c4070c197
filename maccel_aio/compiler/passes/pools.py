"""Pooling and reductions in their canonical forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maccel_aio.compiler.passes.convs import image_size, pair, window
from maccel_aio.compiler.passes.rules import Unsupported, axis_of, ints, shape_of

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Graph, Node

_REDUCTIONS = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max", "ReduceMin": "min"}


def pool(graph: Graph, node: Node) -> Node:
    """Return the canonical form of MaxPool and AveragePool; ceil mode becomes padding."""
    if len([out for out in node.outputs if out]) > 1:
        raise Unsupported("the indices of the maxima are wanted")
    size = image_size(shape_of(graph, node.inputs[0]))
    out = image_size(shape_of(graph, node.output))
    rank = len(node.attrs["kernel_shape"])
    kernel = (
        (1, node.attrs["kernel_shape"][0]) if rank == 1 else pair(node.attrs["kernel_shape"], 1)
    )
    attrs = window(node, size, kernel)
    pads = list(attrs["pads"])
    grown = False
    for d in range(2):
        span = (kernel[d] - 1) * attrs["dilations"][d] + 1
        need = (out[d] - 1) * attrs["strides"][d] + span - size[d] - pads[d]
        grown = grown or need > pads[2 + d]
        pads[2 + d] = max(pads[2 + d], need)
    include = bool(node.attrs.get("count_include_pad", 0)) and node.op == "AveragePool"
    if include and grown:
        raise Unsupported("ceil mode with padding counted")
    if any(pad >= kernel[k % 2] for k, pad in enumerate(pads)):
        raise Unsupported("padding of the size of the kernel")
    if any(pads) and max(attrs["dilations"]) > 1:
        raise Unsupported("padding with dilation")
    node.attrs = {**attrs, "pads": tuple(pads)}
    if node.op == "AveragePool":
        node.attrs["include_pad"] = include
    return node


def global_pool(graph: Graph, node: Node) -> Node:
    """Return the pool whose kernel is the image."""
    size = image_size(shape_of(graph, node.inputs[0]))
    node.op = "MaxPool" if node.op == "GlobalMaxPool" else "AveragePool"
    node.attrs = {"kernel": size, "strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0)}
    if node.op == "AveragePool":
        node.attrs["include_pad"] = False
    return node


def reduce(graph: Graph, node: Node) -> Node:
    """Return the canonical form of ReduceMean, ReduceSum, ReduceMax and ReduceMin."""
    rank = len(shape_of(graph, node.inputs[0]))
    axes = ints(graph, node, "axes", 1)
    if not axes:
        if node.attrs.get("noop_with_empty_axes", 0):
            raise Unsupported("no axes")
        axes = list(range(rank))
    node.attrs = {
        "kind": _REDUCTIONS[node.op],
        "axes": tuple(sorted(axis_of(axis, rank) for axis in axes)),
        "keepdims": bool(node.attrs.get("keepdims", 1)),
    }
    node.op, node.inputs = "Reduce", node.inputs[:1]
    return node
