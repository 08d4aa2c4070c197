"""What stands around the scores of an attention: their scale, their mask, and flattened rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
