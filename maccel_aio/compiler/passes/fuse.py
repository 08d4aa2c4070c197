"""Fuses what a convolution's epilogue can do: scale, shift, padding, activation, residual."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import Activation, ConvWeights, Graph, Node, Residual
from maccel_aio.compiler.passes.links import Links, index_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Channels = NDArray[np.float64]

WEIGHTED = ("Conv", "ConvTranspose", "Linear")
_ACT_HOSTS = (*WEIGHTED, "AveragePool", "MatMul", "Add", "Sub", "Mul", "Div", "Max", "Min", "Pow")


def fold_affine(graph: Graph) -> None:
    """Fold batch normalisation and constant per-channel arithmetic into the weights before it."""
    links = Links(graph)
    for node in list(graph.nodes):
        if node.reason or node.act is not None:
            continue
        host = next(iter(graph.activations(node)), "")
        producer = links.only_reader(host)
        if producer is None or producer.op not in WEIGHTED or producer.weights is None:
            continue
        if producer.act is not None or producer.residual is not None:
            continue
        affine = _affine(graph, node, producer)
        if affine is not None:
            producer.weights = scaled(producer.weights, *affine)
            links.merge(producer, node)
    graph.replace_nodes(graph.nodes)


def scaled(weights: ConvWeights, scale: Channels, shift: Channels) -> ConvWeights:
    """Return weights whose results are ``old * scale + shift`` per output channel."""
    with np.errstate(all="ignore"):  # what is not finite then is refused later, by name
        kernel = weights.kernel.astype(np.float64) * scale[:, None, None, None]
        bias = weights.bias.astype(np.float64) * scale + shift
        return ConvWeights(kernel.astype(np.float32), bias.astype(np.float32))


def _affine(graph: Graph, node: Node, producer: Node) -> tuple[Channels, Channels] | None:
    """Return (scale, shift) if `node` is one on the output channels of `producer`."""
    if node.op == "BatchNormalization":
        is_image = producer.op != "Linear" or len(graph.tensors[producer.output].dims) == 2
        return (node.attrs["scale"], node.attrs["shift"]) if is_image else None
    if node.op not in ("Add", "Sub", "Mul", "Div"):
        return None
    constants = [k for k, name in enumerate(node.inputs) if graph.const(name) is not None]
    if len(constants) != 1 or (node.op == "Div" and constants == [0]):
        return None
    value = _per_channel(graph, node, producer, constants[0])
    if value is None:
        return None
    one, zero = np.ones_like(value), np.zeros_like(value)
    if node.op == "Sub":
        return (one, -value) if constants == [1] else (-one, value)
    with np.errstate(divide="ignore"):
        forms = {"Add": (one, value), "Mul": (value, zero), "Div": (1.0 / value, zero)}
    return forms[node.op]


def _per_channel(graph: Graph, node: Node, producer: Node, index: int) -> Channels | None:
    value = graph.const(node.inputs[index])
    shape = graph.tensors[producer.output].dims
    if value is None or graph.tensors[node.output].shape != shape:
        return None
    axis = len(shape) - 1 if producer.op == "Linear" else 1
    full = (1,) * (len(shape) - value.ndim) + value.shape
    if any(size != 1 for d, size in enumerate(full) if d != axis):
        return None
    return np.broadcast_to(value.astype(np.float64).ravel(), (shape[axis],)).copy()


def standalone_affine(graph: Graph) -> None:
    """Turn batch normalisation that found no host into a 1x1 depthwise convolution."""
    for node in graph.walk("BatchNormalization"):
        if node.reason:
            continue
        rank = len(graph.tensors[node.output].dims)
        if rank not in (3, 4):
            node.reason = f"operator BatchNormalization: {rank} dimensions"
            continue
        scale, shift = node.attrs["scale"], node.attrs["shift"]
        kernel = scale.astype(np.float32)[:, None, None, None]
        node.op, node.weights = "Conv", ConvWeights(kernel, shift.astype(np.float32))
        node.attrs = {
            "kernel": (1, 1),
            "strides": (1, 1),
            "dilations": (1, 1),
            "pads": (0, 0, 0, 0),
            "group": len(scale),
        }


def fuse_pads(graph: Graph) -> None:
    """Let convolutions pad by themselves where a Pad with zeros comes before them."""
    links = Links(graph)
    for node in list(graph.nodes):
        if node.op != "Conv" or node.reason:
            continue
        pad = links.only_reader(node.inputs[0])
        if pad is None or pad.op != "Pad" or pad.attrs["value"] != 0.0:
            continue
        spatial = _spatial_pads(pad.attrs["pads"])
        if spatial is None:
            continue
        old = node.attrs["pads"]
        node.attrs["pads"] = tuple(a + b for a, b in zip(old, spatial, strict=True))
        node.inputs[0] = pad.inputs[0]
        node.source = (*pad.source, *node.source)
        graph.nodes.remove(pad)
    graph.replace_nodes(graph.nodes)


def _spatial_pads(pads: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    """Return (t, l, b, r) of pads that leave batch and channels alone, else None."""
    rank = len(pads) // 2
    if rank not in (3, 4) or any(pads[d] or pads[rank + d] for d in (0, 1)):
        return None
    if rank == 3:
        return (0, pads[2], 0, pads[5])
    return (pads[2], pads[3], pads[6], pads[7])


def fuse_activations(graph: Graph) -> None:
    """Move activations into the epilogue of the operator before them."""
    links = Links(graph)
    for node in list(graph.nodes):
        if node.op != "Activation" or node.reason or node.act is None:
            continue
        producer = links.only_reader(node.inputs[0])
        if producer is None or producer.op not in _ACT_HOSTS:
            continue
        act = _joined(producer.act, node.act)
        if producer.residual is not None or act is None or not _takes(graph, producer, node):
            continue
        producer.act = act
        links.merge(producer, node)
    graph.replace_nodes(graph.nodes)


def _joined(first: Activation | None, second: Activation) -> Activation | None:
    """Return one activation for two, or None: two clamps are one."""
    if first is None:
        return second
    if (first.kind, second.kind) != ("clamp", "clamp"):
        return None
    low, high = (min(max(end, second.a), second.b) for end in (first.a, first.b))
    return Activation("clamp", low, high)


def _takes(graph: Graph, producer: Node, node: Node) -> bool:
    """Whether the epilogue of `producer` has the channels that a per-channel slope needs."""
    if node.act is None or node.act.kind != "prelu":
        return True
    if producer.op == "Linear":
        return len(graph.tensors[node.output].dims) == 2
    return producer.op in WEIGHTED


def fuse_residuals(graph: Graph) -> None:
    """Let a convolution add the other operand of the Add that reads it."""
    links = Links(graph)
    for node in list(graph.nodes):
        if node.op != "Add" or node.reason:
            continue
        first, second = node.inputs
        if first == second or len(graph.activations(node)) != 2:
            continue
        if graph.tensors[first].shape != graph.tensors[second].shape:
            continue
        host = _host(links, node)
        if host is None:
            continue
        other = second if host.output == first else first
        host.residual = Residual(other, after_act=host.act is not None)
        host.inputs = [host.inputs[0], other]
        host.act = host.act if node.act is None else node.act
        links.merge(host, node)
    graph.replace_nodes(graph.nodes)


def _host(links: Links, node: Node) -> Node | None:
    """Return the later of the convolutions that may take the residual of `node`."""
    found: list[Node] = []
    for name in node.inputs:
        producer = links.only_reader(name)
        if producer is None or producer.op not in WEIGHTED or producer.residual is not None:
            continue
        if producer.act is None or node.act is None:
            found.append(producer)
    return max(found, key=lambda n: index_of(links.graph.nodes, n), default=None)
