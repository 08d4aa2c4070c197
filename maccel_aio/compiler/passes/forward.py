"""Folds numbers that scale or shift a tensor into the convolutions that read it.

What an activation separates from the convolution before it can still go into the weights behind it:
``w * (c * x) = (w * c) * x`` always, ``w * (x + d) = w * x + d * sum(w)`` where nothing is padded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import ConvWeights

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Graph, Node


def fold_forward(graph: Graph) -> None:
    """Fold every Add and Mul of one number whose readers are all convolutions."""
    for node in reversed(list(graph.nodes)):
        if node.op not in ("Add", "Mul") or node.reason or node.act or node.residual:
            continue
        found = _number(graph, node)
        readers = [n for n in graph.nodes if node.output in n.inputs]
        if found is None or node.output in graph.outputs or not readers:
            continue
        if not all(_takes(reader, node) for reader in readers):
            continue
        source, value = found
        for reader in readers:
            _fold(reader, node.op, value)
            reader.inputs[0] = source
            reader.source = (*node.source, *reader.source)
        graph.nodes.remove(node)
    graph.replace_nodes(graph.nodes)


def _number(graph: Graph, node: Node) -> tuple[str, float] | None:
    """Return the tensor and the number, if one operand is a finite constant of one element."""
    constants = [graph.const(name) for name in node.inputs]
    known = [k for k, value in enumerate(constants) if value is not None and value.size == 1]
    if len(known) != 1 or graph.const(node.inputs[1 - known[0]]) is not None:
        return None
    source = node.inputs[1 - known[0]]
    value = float(np.asarray(constants[known[0]], np.float64).ravel()[0])
    same = graph.tensors[source].shape == graph.tensors[node.output].shape
    return (source, value) if same and np.isfinite(value) else None


def _takes(reader: Node, node: Node) -> bool:
    if reader.op not in ("Conv", "Linear") or reader.reason or reader.weights is None:
        return False
    if reader.inputs[0] != node.output or node.output in reader.inputs[1:]:
        return False
    return node.op == "Mul" or not any(reader.attrs.get("pads", ()))


def _fold(reader: Node, op: str, value: float) -> None:
    if reader.weights is None:
        raise AssertionError(reader.name)
    kernel, bias = reader.weights.kernel, reader.weights.bias
    if op == "Mul":
        reader.weights = ConvWeights((kernel * np.float64(value)).astype(np.float32), bias)
    else:
        moved = bias + value * kernel.sum(axis=(1, 2, 3), dtype=np.float64)
        reader.weights = ConvWeights(kernel, moved.astype(np.float32))
