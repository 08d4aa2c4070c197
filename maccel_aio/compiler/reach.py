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
_STEEP = frozenset({"log", "sqrt", "rsqrt", "reciprocal", "exp"})
"""Functions that turn small errors into large ones somewhere."""


def is_steep(node: Node) -> bool:
    """Whether a node applies such a function, and not to sums of its own weights."""
    return node.weights is None and node.act is not None and node.act.kind in _STEEP


def front_ends(graph: Graph, readers: Mapping[str, Sequence[Node]]) -> frozenset[str]:
    """Return the names of the layers all of whose results end in steep functions.

    Filters in front of a logarithm, as of spectra of sounds, have to keep what is a thousand times
    as small as the largest.

    Args:
        graph: nodes in topological order.
        readers: the nodes that read each tensor.
    """
    bound: set[str] = set()
    found: set[str] = set()
    for node in reversed(graph.nodes):
        ends = [
            out not in graph.outputs
            and bool(readers[out])
            and all(is_steep(n) or _leads(n, bound) for n in readers[out])
            for out in node.outputs
            if out
        ]
        if ends and all(ends):
            bound.update(out for out in node.outputs if out)
            if node.weights is not None:
                found.add(node.name)
    return frozenset(found)


def _leads(node: Node, bound: set[str]) -> bool:
    goes_through = node.op in _THROUGH or node.weights is not None
    return goes_through and all(out in bound for out in node.outputs if out)


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
