"""Convolutions and matrix products in their canonical forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import CompileError, ConvWeights, Graph, Node
from maccel_aio.compiler.passes.rules import Unsupported, const_input, shape_of

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Array

Pair = tuple[int, int]
Quad = tuple[int, int, int, int]


def pair(values: list[int] | None, default: int) -> Pair:
    """Return per-axis numbers of a 1-D or 2-D operator as (h, w)."""
    if not values:
        return (default, default)
    if len(values) == 1:
        return (default, int(values[0]))
    return (int(values[0]), int(values[1]))


def quad(values: list[int] | None) -> Quad:
    """Return ONNX pads (begins, then ends) as (top, left, bottom, right)."""
    if not values:
        return (0, 0, 0, 0)
    if len(values) == 2:
        return (0, int(values[0]), 0, int(values[1]))
    top, left, bottom, right = (int(v) for v in values)
    return (top, left, bottom, right)


def image_size(shape: tuple[int, ...]) -> Pair:
    """Return (h, w) of [n, c, w] or [n, c, h, w].

    Raises:
        Unsupported: it has another rank.
    """
    if len(shape) not in (3, 4):
        raise Unsupported(f"{len(shape)} dimensions; images have 4")
    return (1, shape[2]) if len(shape) == 3 else (shape[2], shape[3])


def auto_pads(auto: str, size: Pair, span: Pair, strides: Pair) -> Quad:
    """Return the pads of an ``auto_pad`` other than NOTSET; `span` is the dilated kernel."""
    if auto == "VALID":
        return (0, 0, 0, 0)
    total = [
        max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(size, span, strides, strict=True)
    ]
    small = [t // 2 for t in total]
    large = [t - t // 2 for t in total]
    first, last = (large, small) if auto == "SAME_LOWER" else (small, large)
    return (first[0], first[1], last[0], last[1])


def window(node: Node, size: Pair, kernel: Pair) -> dict[str, Pair | Quad]:
    """Return kernel, strides, dilations and pads of a sliding-window node."""
    strides = pair(node.attrs.get("strides"), 1)
    dilations = pair(node.attrs.get("dilations"), 1)
    auto = node.attrs.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", ""):
        pads = quad(node.attrs.get("pads"))
    else:
        span = ((kernel[0] - 1) * dilations[0] + 1, (kernel[1] - 1) * dilations[1] + 1)
        pads = auto_pads(auto, size, span, strides)
    if min(pads) < 0:
        raise Unsupported("negative padding")
    return {"kernel": kernel, "strides": strides, "dilations": dilations, "pads": pads}


def _weights(graph: Graph, node: Node) -> tuple[Array, Array | None]:
    weight = const_input(graph, node, 1, "the weight")
    if weight is None or weight.dtype != np.float32:
        raise Unsupported("the weight is not float32")
    bias = const_input(graph, node, 2, "the bias")
    return (weight[:, :, None, :] if weight.ndim == 3 else weight), bias


def _bias(bias: Array | None, outputs: int) -> Array:
    if bias is None:
        return np.zeros(outputs, np.float32)
    return np.broadcast_to(np.asarray(bias, np.float32).ravel(), (outputs,)).copy()


def check_fit(graph: Graph, node: Node) -> None:
    """Check that an image has the channels of a kernel, and at least one window.

    Raises:
        CompileError: it has not; a wrong shape was given, or the model is broken.
    """
    weight, shape = graph.const(node.inputs[1]), graph.tensors[node.inputs[0]].shape
    if weight is None or shape is None or len(shape) != weight.ndim:
        return
    group = int(node.attrs.get("group", 1))
    channels = weight.shape[1] * group if node.op == "Conv" else weight.shape[0]
    if shape[1] != channels:
        raise CompileError(
            f"node {node.name!r}: its input of shape {list(shape)} has {shape[1]} channels, "
            f"its weights are for {channels}"
        )
    out = graph.tensors[node.output].shape
    if min(shape) > 0 and (out is None or min(out) < 1):
        raise CompileError(
            f"node {node.name!r}: its input of shape {list(shape)} is smaller than its kernel"
        )


def conv(graph: Graph, node: Node) -> Node:
    """Return the canonical form of Conv."""
    size = image_size(shape_of(graph, node.inputs[0]))
    weight, bias = _weights(graph, node)
    attrs = window(node, size, (weight.shape[2], weight.shape[3]))
    node.attrs = {**attrs, "group": int(node.attrs.get("group", 1))}
    node.weights = ConvWeights(weight, _bias(bias, weight.shape[0]))
    node.inputs = node.inputs[:1]
    return node


def conv_transpose(graph: Graph, node: Node) -> Node:
    """Return the canonical form: pads from the output shape, weights [O, I/g, kh, kw]."""
    size = image_size(shape_of(graph, node.inputs[0]))
    weight, bias = _weights(graph, node)
    group = int(node.attrs.get("group", 1))
    inputs, per_group, kh, kw = weight.shape
    by_output = weight.reshape(group, inputs // group, per_group, kh, kw).transpose(0, 2, 1, 3, 4)
    kernel = np.ascontiguousarray(by_output).reshape(group * per_group, inputs // group, kh, kw)
    node.attrs = {
        "kernel": (kh, kw),
        "strides": pair(node.attrs.get("strides"), 1),
        "dilations": pair(node.attrs.get("dilations"), 1),
        "pads": _transposed_pads(graph, node, size, (kh, kw)),
        "group": group,
    }
    node.weights = ConvWeights(kernel, _bias(bias, kernel.shape[0]))
    node.inputs = node.inputs[:1]
    return node


def _transposed_pads(graph: Graph, node: Node, size: Pair, kernel: Pair) -> Quad:
    """Return pads with output = (n - 1) * s + dilated kernel - before - after; after may be < 0."""
    out = image_size(shape_of(graph, node.output))
    strides, dilations = pair(node.attrs.get("strides"), 1), pair(node.attrs.get("dilations"), 1)
    auto = node.attrs.get("auto_pad", "NOTSET")
    explicit = quad(node.attrs.get("pads"))
    derived = auto in ("SAME_UPPER", "SAME_LOWER") or "output_shape" in node.attrs
    first, last = [0, 0], [0, 0]
    for d in range(2):
        full = (size[d] - 1) * strides[d] + (kernel[d] - 1) * dilations[d] + 1
        total = full - out[d]
        if derived:
            extra = pair(node.attrs.get("output_padding"), 0)[d]
            even = (total + extra) // 2
            first[d] = total + extra - even if auto == "SAME_LOWER" else even
            if auto == "NOTSET":
                first[d] = total + extra - even
        else:
            first[d] = 0 if auto == "VALID" else explicit[d]
        last[d] = total - first[d]
    return (first[0], first[1], last[0], last[1])


def matmul(graph: Graph, node: Node) -> Node:
    """Return Linear when the right operand is a constant matrix, else MatMul."""
    left, right = (graph.const(name) for name in node.inputs)
    shapes = [graph.tensors[name].dims for name in node.inputs]
    if min(len(shape) for shape in shapes) < 2:
        raise Unsupported("a vector operand")
    if left is None and right is not None and right.ndim == 2 and right.dtype == np.float32:
        return _linear(node, right.T, None)
    return node


def _linear(node: Node, weight: Array, bias: Array | None) -> Node:
    kernel = np.ascontiguousarray(weight, np.float32)[:, :, None, None]
    node.op, node.attrs, node.inputs = "Linear", {}, node.inputs[:1]
    node.weights = ConvWeights(kernel, _bias(bias, kernel.shape[0]))
    return node


def gemm(graph: Graph, node: Node) -> Node:
    """Return the Linear that a Gemm with constant weights is."""
    weight = const_input(graph, node, 1, "the weight")
    bias = const_input(graph, node, 2, "the bias")
    if weight is None or node.attrs.get("transA", 0):
        raise Unsupported("a transposed first operand")
    outputs = weight.shape[0] if node.attrs.get("transB", 0) else weight.shape[1]
    by_row = bias is not None and bias.ndim > 1 and bias.shape[0] != 1
    if bias is not None and (by_row or bias.size not in (1, outputs)):
        raise Unsupported("a bias per row")
    matrix = weight if node.attrs.get("transB", 0) else weight.T
    alpha, beta = float(node.attrs.get("alpha", 1.0)), float(node.attrs.get("beta", 1.0))
    return _linear(node, matrix * np.float32(alpha), None if bias is None else bias * beta)
