"""Tensors whose every use ends in float: storing them as integers would only lose accuracy.

Masks, position codes, sums that a norm reads: between them and the next operator that computes in
float are only sums, products and moves, which are as fast on floats. A mask of -10000 in 8 bits
would drown the scores that it is added to, and one that calibration never saw would be lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from maccel_aio.compiler.ir import Graph, Node

_THROUGH = frozenset(
    {
        "Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Activation", "Reduce",
        "Concat", "Slice", "Split", "Pad", "Transpose", "Reshape", "Expand",
    }
)  # fmt: skip
_IMAGE = 4


def float_bound(
    graph: Graph, readers: Mapping[str, Sequence[Node]], reads_float: Callable[[Node, str], bool]
) -> frozenset[str]:
    """Return the names of the tensors all of whose uses end in float.

    An output of the graph is such an end for sequences and vectors, but not for images: what
    makes those is worth more in 8 bits.

    Args:
        graph: nodes in topological order.
        readers: the nodes that read each tensor.
        reads_float: whether a node computes in float on a tensor that it reads.
    """
    bound: set[str] = set()
    outputs = set(graph.outputs)
    order = [*graph.inputs, *(out for node in graph.nodes for out in node.outputs if out)]
    for name in reversed(order):
        shape = graph.tensor(name).shape
        ends = name in outputs
        if not (ends or readers[name]) or (ends and (shape is None or len(shape) >= _IMAGE)):
            continue
        if all(_goes_on(node, name, bound, reads_float) for node in readers[name]):
            bound.add(name)
    return frozenset(bound)


def _goes_on(
    node: Node, name: str, bound: set[str], reads_float: Callable[[Node, str], bool]
) -> bool:
    if reads_float(node, name):
        return True
    return node.op in _THROUGH and all(out in bound for out in node.outputs if out)
