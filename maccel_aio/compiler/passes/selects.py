"""Where with a constant condition, as masks of attention and of sequences are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import Tensor
from maccel_aio.compiler.passes.rules import Unsupported, axis_of, const_input, opset
from maccel_aio.compiler.pointwise import FLOAT_MAX

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Array, Graph, Node

_HIDDEN = -1e4
"""Scores that do not count get this number, or a smaller one."""


def select(graph: Graph, node: Node) -> Node:
    """Return the sum or the product that a Where with constants is.

    Scores in front of Softmax that get a large negative number may as well have it added: their
    exponential is zero both ways, as long as another score of the row counts. Elements that become
    zero are multiplied with it.
    """
    condition = const_input(graph, node, 0, "the condition")
    if condition is None:
        raise Unsupported("the condition is missing")
    kept, given = _branches(graph, node, condition)
    value = float(given[0])
    shown = condition if kept == node.inputs[1] else ~condition
    if value == 0.0:
        return _with_constant(graph, node, "Mul", kept, shown.astype(np.float32))
    if value <= _HIDDEN and _softmax_reads(graph, node.output, shown):
        hidden = np.where(shown, np.float32(0.0), np.float32(max(value, -FLOAT_MAX)))
        return _with_constant(graph, node, "Add", kept, hidden)
    raise Unsupported(f"a choice between a tensor and {value:g}")


def _branches(graph: Graph, node: Node, condition: Array) -> tuple[str, Array]:
    """Return the name of the tensor and the number that it is replaced by."""
    consts = [graph.const(name) for name in node.inputs[1:]]
    found = [k for k, value in enumerate(consts) if value is not None and value.size == 1]
    if len(found) != 1 or consts[1 - found[0]] is not None:
        raise Unsupported("a choice between two tensors")
    kept, number = node.inputs[2 - found[0]], consts[found[0]]
    assert number is not None  # what was looked for
    shape = np.broadcast_shapes(graph.tensors[kept].dims, condition.shape)
    if shape != graph.tensors[node.output].shape:
        raise Unsupported("a number of higher rank")
    return kept, number.reshape(-1)


def _softmax_reads(graph: Graph, name: str, shown: Array) -> bool:
    """Whether only Softmax reads a tensor, and every row of it has an element that is shown."""
    readers = graph.consumers().get(name, [])
    if not readers or name in graph.outputs:
        return False
    whole = np.broadcast_to(shown, graph.tensors[name].dims)
    return all(
        reader.op == "Softmax" and whole.any(axis=_axes(graph, reader)).all() for reader in readers
    )


def _axes(graph: Graph, softmax: Node) -> tuple[int, ...]:
    """Return the dimensions over which a Softmax, not yet canonical, sums."""
    rank = len(graph.tensors[softmax.inputs[0]].dims)
    flat = opset(graph) < 13
    axis = axis_of(int(softmax.attrs.get("axis", 1 if flat else -1)), rank)
    return tuple(range(axis, rank)) if flat else (axis,)


def _with_constant(graph: Graph, node: Node, op: str, kept: str, value: Array) -> Node:
    name = f"{node.output}:mask"
    array = np.asarray(value, np.float32)
    graph.tensors[name] = Tensor(name, array.shape, array.dtype, array)
    node.op, node.attrs, node.inputs = op, {}, [kept, name]
    return node
