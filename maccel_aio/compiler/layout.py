"""In which order the dimensions of every tensor lie in memory.

Convolutions want channels last; everything else takes what it gets. A Transpose costs nothing: it
renames dimensions, so a model that is channels-last in ONNX meets its convolutions without a copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maccel_aio.compiler.view import packed_strides, reshaped_strides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maccel_aio.compiler.ir import Graph, Node

Order = tuple[int, ...]

IMAGE_OPS = frozenset(
    {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "DepthToSpace", "SpaceToDepth"}
)
_FOLLOW = frozenset(
    {
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Max",
        "Min",
        "Pow",
        "Activation",
        "Concat",
        "Pad",
        "Split",
        "Slice",
    }
)
_SAME_RANK = _FOLLOW | {"Softmax", "Expand"}


def channels_last(rank: int) -> Order:
    """Return the order of an image of this rank: batch, space, channels."""
    return (0, *range(2, rank), 1)


def identity(rank: int) -> Order:
    """Return the row-major order."""
    return tuple(range(rank))


def resize_order(node: Node) -> Order:
    """Return the order (n, h, w, c) that a Resize needs."""
    return (0, 2, 3, 1) if node.attrs["axes"] == (2, 3) else (0, 1, 2, 3)


def assign_orders(graph: Graph, nodes: Sequence[Node], inputs: Sequence[str]) -> dict[str, Order]:
    """Return the memory order of every tensor of one bundle."""
    readers = _readers(nodes)
    orders: dict[str, Order] = {}
    for name in inputs:
        rank = len(graph.tensors[name].dims)
        orders[name] = _wanted(graph, name, readers, 0) or identity(rank)
    for node in nodes:
        for out in node.outputs:
            if out:
                orders[out] = _produced(graph, node, out, orders)
        if node.op == "Attention":
            orders[node.output] = _as_read(readers.get(node.output, []), orders[node.output])
    return orders


def _as_read(readers: Sequence[Node], usual: Order) -> Order:
    """Return the order that makes a Transpose free, if one alone reads the tensor.

    Rows must stay whole: their elements are adjacent.
    """
    if len(readers) != 1 or readers[0].op != "Transpose":
        return usual
    perm: Order = tuple(readers[0].attrs["perm"])
    return perm if perm[-1] == usual[-1] else usual


def _readers(nodes: Sequence[Node]) -> dict[str, list[Node]]:
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    return readers


def _wanted(graph: Graph, name: str, readers: dict[str, list[Node]], depth: int) -> Order | None:
    """Return the order that the nearest image operator wants, None if there is none."""
    rank = len(graph.tensors[name].dims)
    if depth > 32:
        return None
    for node in readers.get(name, ()):
        if node.op in IMAGE_OPS and node.inputs[0] == name and rank >= 3:
            return channels_last(rank)
        if node.op == "Resize":
            return resize_order(node)
        out = node.output
        if node.op == "Transpose":
            after = _wanted(graph, out, readers, depth + 1)
            if after is not None:
                return tuple(node.attrs["perm"][d] for d in after)
        elif node.op in _FOLLOW and len(graph.tensors[out].dims) == rank:
            after = _wanted(graph, out, readers, depth + 1)
            if after is not None:
                return after
    return None


def _produced(graph: Graph, node: Node, out: str, orders: dict[str, Order]) -> Order:
    rank = len(graph.tensors[out].dims)
    if node.op in IMAGE_OPS:
        return channels_last(rank)
    if node.op == "Resize":
        return resize_order(node)
    if node.op in _SAME_RANK:
        return _followed(graph, node, rank, orders)
    return _derived(graph, node, rank, orders.get(node.inputs[0], ()))


def _derived(graph: Graph, node: Node, rank: int, before: Order) -> Order:
    if node.op == "Transpose":
        return tuple(node.attrs["perm"].index(d) for d in before)
    if node.op == "Reshape":
        return _reshaped(graph, node, before)
    if node.op == "Reduce" and node.attrs["keepdims"] and len(before) == rank:
        return before
    return identity(rank)


def _followed(graph: Graph, node: Node, rank: int, orders: dict[str, Order]) -> Order:
    """Return the order of the largest input of the same rank."""
    same = [n for n in graph.activations(node) if n in orders and len(orders[n]) == rank]
    same.sort(key=lambda n: -graph.tensors[n].elements)
    return orders[same[0]] if same else identity(rank)


def _reshaped(graph: Graph, node: Node, before: Order) -> Order:
    source, target = graph.tensors[node.inputs[0]].dims, graph.tensors[node.output].dims
    strides = reshaped_strides(source, packed_strides(source, before, 1), target, 1)
    if strides is None:
        return identity(len(target))
    found = strides
    return tuple(sorted(range(len(target)), key=lambda d: (-found[d], d)))


def channel_axes(graph: Graph) -> dict[str, int]:
    """Return, for every tensor that is an image, which of its dimensions are the channels."""
    axes: dict[str, int] = {}
    readers = _readers(graph.nodes)
    for name in graph.inputs:
        tensor = graph.tensors[name]
        if tensor.shape is not None and len(tensor.shape) == 4:
            axis = _input_axis(graph, name, readers)
            if axis is not None:
                axes[name] = axis
    for node in graph.nodes:
        if node.reason:
            continue
        for out in node.outputs:
            if not out or len(graph.tensors[out].dims) != 4:
                continue
            axis = _output_axis(graph, node, axes)
            if axis is not None:
                axes[out] = axis
    return axes


def _output_axis(graph: Graph, node: Node, axes: dict[str, int]) -> int | None:
    if node.op in IMAGE_OPS:
        return 1
    if node.op == "Resize":
        return 1 if node.attrs["axes"] == (2, 3) else 3
    return _moved(node, axes) if node.op == "Transpose" else _kept(graph, node, axes)


def _input_axis(graph: Graph, name: str, readers: dict[str, list[Node]]) -> int | None:
    npu = {key: [n for n in nodes if not n.reason] for key, nodes in readers.items()}
    wanted = _wanted(graph, name, npu, 0)
    if wanted is not None:
        return wanted[-1]
    shape = graph.tensors[name].dims
    likely = [axis for axis in (1, 3) if shape[axis] in (1, 3, 4)]
    return likely[0] if len(likely) == 1 else None


def _moved(node: Node, axes: dict[str, int]) -> int | None:
    before = axes.get(node.inputs[0])
    return None if before is None else int(node.attrs["perm"].index(before))


def _kept(graph: Graph, node: Node, axes: dict[str, int]) -> int | None:
    if node.op not in _SAME_RANK:
        return None
    found = [axes[n] for n in graph.activations(node) if n in axes]
    return found[0] if found else None
