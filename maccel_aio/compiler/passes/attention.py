"""Attention: products, Softmax and products again as one operator, and flattened rows around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maccel_aio.compiler.passes.dead import drop_dead
from maccel_aio.compiler.passes.links import Links

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Graph, Node


def unflatten_rows(graph: Graph) -> None:
    """Let Linear work on sequences where simplifiers put Reshapes to and from a matrix around it.

    What comes after the second Reshape, a function or a sum, can then be fused.
    """
    links = Links(graph)
    for node in list(graph.nodes):
        if node.op != "Reshape" or node.reason:
            continue
        host = links.only_reader(node.inputs[0])
        if host is None or host.op != "Linear" or host.residual is not None:
            continue
        before = links.producers.get(host.inputs[0])
        if before is None or before.op != "Reshape" or before.reason:
            continue
        rows = graph.tensors[before.inputs[0]].shape
        last = graph.tensors[host.inputs[0]].dims[-1]
        wanted = graph.tensors[node.output].dims
        if rows is not None and rows[-1] == last and (*rows[:-1], len_out(host)) == wanted:
            host.inputs[0] = before.inputs[0]
            links.merge(host, node)
    graph.replace_nodes(graph.nodes)


def len_out(node: Node) -> int:
    """Return the number of outputs of a Linear."""
    return 0 if node.weights is None else len(node.weights.kernel)


def fuse_scores(graph: Graph) -> None:
    """Let Softmax scale its input and add a mask to it."""
    links = Links(graph)
    for node in graph.walk("Softmax"):
        if not (node.reason or node.attrs["flat"]):
            _take_mask(links, node)
            _take_scale(links, node)
    graph.replace_nodes(graph.nodes)


def fuse_attention(graph: Graph) -> None:
    """Make one operator of the products of queries and keys, their Softmax, and the values.

    Numbers that scale queries or keys become part of the operator's.
    """
    links = Links(graph)
    for node in list(graph.nodes):
        if node.op != "MatMul" or node.reason or node.act is not None:
            continue
        shares = links.only_reader(node.inputs[0])
        if shares is None or shares.op != "Softmax" or not _over_keys(graph, shares):
            continue
        scores = links.only_reader(shares.inputs[0])
        if scores is None or not _plain(scores, "MatMul") or scores.reason:
            continue
        if not _fits(graph, node, shares, scores):
            continue
        (queries, first), (keys, second) = (_unscaled(links, name) for name in scores.inputs)
        node.op = "Attention"
        node.attrs = {"scale": shares.attrs["scale"] * first * second}
        node.inputs = [queries, keys, node.inputs[1], *shares.inputs[1:]]
        _absorb(links, node, shares)
        _absorb(links, node, scores)
    drop_dead(graph)


def _over_keys(graph: Graph, node: Node) -> bool:
    """Whether a Softmax is that of an attention."""
    last = len(graph.tensors[node.output].dims) - 1
    return node.attrs["axis"] == last and not (
        node.attrs["log"] or node.attrs["flat"] or node.reason
    )


def _fits(graph: Graph, node: Node, shares: Node, scores: Node) -> bool:
    """Whether the leading dimensions of all operands broadcast to those of the result."""
    rank = len(graph.tensors[node.output].dims)
    names = (*scores.inputs, node.inputs[1], *shares.inputs[1:])
    whole = graph.tensors[shares.output].dims[:-2] == graph.tensors[node.output].dims[:-2]
    known = all(graph.const(name) is None for name in (*scores.inputs, node.inputs[1]))
    return whole and known and all(len(graph.tensors[name].dims) <= rank for name in names)


def _unscaled(links: Links, name: str) -> tuple[str, float]:
    """Return what a tensor is before it is multiplied with a number, and the number."""
    maker = links.producers.get(name)
    if maker is None or not _plain(maker, "Mul") or maker.reason:
        return name, 1.0
    numbers = [links.graph.const(operand) for operand in maker.inputs]
    found = [k for k, value in enumerate(numbers) if value is not None and value.size == 1]
    if len(found) != 1:
        return name, 1.0
    number, source = numbers[found[0]], maker.inputs[1 - found[0]]
    tensors = links.graph.tensors
    if number is None or tensors[source].shape != tensors[name].shape:
        return name, 1.0
    value = float(number.reshape(-1)[0])
    return (source, value) if value != 0.0 else (name, 1.0)


def _plain(maker: Node | None, *ops: str) -> bool:
    return maker is not None and maker.op in ops and maker.act is None


def _take_mask(links: Links, node: Node) -> None:
    added = links.only_reader(node.inputs[0])
    if added is None or not _plain(added, "Add"):
        return
    tensors = links.graph.tensors
    shape = tensors[node.output].shape
    full = [name for name in added.inputs if tensors[name].shape == shape]
    full = [name for name in full if links.graph.const(name) is None]
    if not full:
        return
    scores = next((name for name in full if links.only_reader(name) is not None), full[0])
    other = added.inputs[1] if added.inputs[0] == scores else added.inputs[0]
    node.inputs = [scores, other]
    _absorb(links, node, added)


def _take_scale(links: Links, node: Node) -> None:
    scaled = links.only_reader(node.inputs[0])
    if scaled is None or not _plain(scaled, "Mul", "Div"):
        return
    numbers = [links.graph.const(name) for name in scaled.inputs]
    number, source = (
        (numbers[1], scaled.inputs[0]) if numbers[1] is not None else (numbers[0], scaled.inputs[1])
    )
    divides = scaled.op == "Div"
    if number is None or number.size != 1 or (divides and numbers[1] is None):
        return
    value = float(number.reshape(-1)[0])
    same = links.graph.tensors[source].shape == links.graph.tensors[node.output].shape
    if value == 0.0 or not same:
        return
    node.attrs["scale"] = 1.0 / value if divides else value
    node.inputs[0] = source
    _absorb(links, node, scaled)


def _absorb(links: Links, node: Node, before: Node) -> None:
    """Forget a node that `node` now does the work of."""
    node.source = (*before.source, *node.source)
    links.graph.nodes.remove(before)
