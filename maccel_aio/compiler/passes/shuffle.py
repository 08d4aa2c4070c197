"""Folds channel shuffles into the convolutions before them: permuted outputs cost nothing.

A shuffle is spelled Reshape, Transpose, Reshape: ``[n, c, h, w] -> [n, a, b, h, w] ->
[n, b, a, h, w] -> [n, c, h, w]``. A grouped convolution with permuted outputs is no grouped one any
more: it gets the zeros of the other groups as weights, as long as that is not too much work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import ConvWeights
from maccel_aio.compiler.passes.links import Links

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from maccel_aio.compiler.ir import Graph, Node

_MOST_GROUPS = 4
"""Dense kernels are about this many times faster than grouped ones with few channels."""


def fold_shuffles(graph: Graph) -> None:
    """Fold every shuffle of `graph` whose convolution has no other reader."""
    links = Links(graph)
    for node in list(graph.nodes):
        chain = _shuffle(graph, links, node)
        if chain is None:
            continue
        host, order = chain[0], _order(graph, chain[1])
        if host.weights is None or not _fits(host):
            continue
        host.weights = _permuted(_dense(host.weights, host.attrs["group"]), order)
        host.attrs["blocks"], host.attrs["group"] = host.attrs["group"], 1
        for part in chain[1:]:
            links.merge(host, part)
    graph.replace_nodes(graph.nodes)


def _shuffle(graph: Graph, links: Links, last: Node) -> tuple[Node, Node, Node, Node] | None:
    """Return convolution, Reshape, Transpose and `last` if these are a shuffle."""
    if last.op != "Reshape" or last.reason or len(graph.tensors[last.output].dims) != 4:
        return None
    transpose = links.only_reader(last.inputs[0])
    if transpose is None or transpose.op != "Transpose":
        return None
    first = links.only_reader(transpose.inputs[0])
    if first is None or first.op != "Reshape" or transpose.attrs["perm"] != (0, 2, 1, 3, 4):
        return None
    host = links.only_reader(first.inputs[0])
    if host is None or host.op != "Conv":
        return None
    before, split = graph.tensors[host.output].dims, graph.tensors[first.output].dims
    same = graph.tensors[last.output].dims == before and len(before) == 4
    return (host, first, transpose, last) if same and split[3:] == before[2:] else None


def _fits(host: Node) -> bool:
    plain = host.residual is None and (host.act is None or host.act.slope is None)
    return plain and host.attrs["group"] <= _MOST_GROUPS


def _order(graph: Graph, first: Node) -> NDArray[np.int64]:
    """Return which channel of the convolution every channel behind the shuffle is."""
    _, a, b, *_ = graph.tensors[first.output].dims
    return np.arange(a * b).reshape(a, b).T.ravel()


def _dense(weights: ConvWeights, group: int) -> ConvWeights:
    """Return the weights of the same convolution without groups."""
    outputs, per_group, *taps = weights.kernel.shape
    kernel = np.zeros((outputs, group * per_group, *taps), np.float32)
    rows = outputs // group
    for g in range(group):
        part = slice(g * rows, (g + 1) * rows)
        kernel[part, g * per_group : (g + 1) * per_group] = weights.kernel[part]
    return ConvWeights(kernel, weights.bias)


def _permuted(weights: ConvWeights, order: NDArray[np.int64]) -> ConvWeights:
    return ConvWeights(np.ascontiguousarray(weights.kernel[order]), weights.bias[order])
