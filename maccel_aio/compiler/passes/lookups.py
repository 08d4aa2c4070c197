"""Operators that read integers: look-ups in a table, and conversions to float."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import FLOAT, INTEGER
from maccel_aio.compiler.passes.rules import (
    Unsupported,
    axis_of,
    check_float,
    shape_of,
)
from maccel_aio.compiler.passes.shapes import gather as slice_of

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Graph, Node, Tensor

READS_INTEGERS = frozenset({"Gather", "Cast"})
"""Operators whose rules check the types of their operands themselves."""

_IDS = (np.dtype(np.int32), np.dtype(np.int64))
_MAX_RANK = 6


def gather(graph: Graph, node: Node) -> Node:
    """Return the Lookup that a Gather from a constant table is, or else the Slice."""
    table = graph.const(node.inputs[0])
    if table is None:
        check_float(graph, node)
        return slice_of(graph, node)
    if table.dtype != np.float32 or table.ndim < 1:
        raise Unsupported(f"a table of type {table.dtype}")
    if axis_of(int(node.attrs.get("axis", 0)), table.ndim) != 0:
        raise Unsupported("a look-up along another dimension than the first")
    if min(table.shape) < 1:
        raise Unsupported("an empty table")
    rank = len(_places(graph, node.inputs[1]))
    if len(shape_of(graph, node.output)) > _MAX_RANK or rank + 1 > _MAX_RANK:
        raise Unsupported(f"more than {_MAX_RANK} dimensions")
    node.op, node.inputs = "Lookup", [node.inputs[1]]
    node.attrs = {"table": np.ascontiguousarray(table.reshape(len(table), -1))}
    return node


def cast(graph: Graph, node: Node) -> Node:
    """Return the canonical form of a Cast from integers to float32."""
    if graph.tensors[node.output].dtype != np.float32:
        raise Unsupported(f"to {graph.tensors[node.output].dtype}")
    if len(_places(graph, node.inputs[0])) > _MAX_RANK:
        raise Unsupported(f"more than {_MAX_RANK} dimensions")
    node.attrs = {}
    return node


def _places(graph: Graph, name: str) -> tuple[int, ...]:
    """Return the shape of integers that the device can take from its host.

    Raises:
        Unsupported: of another type, or computed by an operator that may be on the device.
    """
    tensor = graph.tensors[name]
    if tensor.dtype not in _IDS:
        raise Unsupported(f"{name!r} has type {tensor.dtype}")
    if tensor.const is not None:
        raise Unsupported(f"{name!r} is constant")
    return shape_of(graph, name)


def store_integers(graph: Graph) -> None:
    """Settle how integers that the device reads are stored.

    Those that only become floats are floats from the start: the upload converts them, as exactly
    as the operator.
    """
    readers: dict[str, set[str]] = {}
    for node in graph.walk("Lookup", "Cast"):
        if not node.reason:
            readers.setdefault(node.inputs[0], set()).add(node.op)
    for name, ops in readers.items():
        tensor: Tensor = graph.tensors[name]
        tensor.quant = FLOAT if ops == {"Cast"} else INTEGER
