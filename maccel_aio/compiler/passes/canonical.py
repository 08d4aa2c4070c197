"""Brings every ONNX node into the form of `ir`, or gives the reason why it stays on the CPU."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.passes import (
    activations,
    convs,
    lookups,
    pools,
    recurrent,
    resize,
    selects,
    shapes,
)
from maccel_aio.compiler.passes.rules import Unsupported, check_float, const_input, opset

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Graph, Node
    from maccel_aio.compiler.passes.rules import Rule


def batch_norm(graph: Graph, node: Node) -> Node:
    """Return BatchNormalization with attrs scale and shift, float64 per channel."""
    if any(out for out in node.outputs[1:]) or node.attrs.get("training_mode", 0):
        raise Unsupported("training mode")
    names = ("scale", "bias", "mean", "variance")
    values = [const_input(graph, node, k + 1, what) for k, what in enumerate(names)]
    if any(value is None for value in values):
        raise Unsupported("a parameter is missing")
    gamma, beta, mean, variance = (np.asarray(v, np.float64).ravel() for v in values)
    with np.errstate(all="ignore"):  # what is not finite then is refused later, by name
        scale = gamma / np.sqrt(variance + float(node.attrs.get("epsilon", 1e-5)))
        node.attrs = {"scale": scale, "shift": beta - mean * scale}
    node.inputs = node.inputs[:1]
    return node


RULES: dict[str, Rule] = {
    "Conv": convs.conv,
    "ConvTranspose": convs.conv_transpose,
    "MatMul": convs.matmul,
    "Gemm": convs.gemm,
    "BatchNormalization": batch_norm,
    "MaxPool": pools.pool,
    "AveragePool": pools.pool,
    "GlobalAveragePool": pools.global_pool,
    "GlobalMaxPool": pools.global_pool,
    "ReduceMean": pools.reduce,
    "ReduceSum": pools.reduce,
    "ReduceMax": pools.reduce,
    "ReduceMin": pools.reduce,
    "Where": selects.select,
    "Concat": shapes.concat,
    "Split": shapes.split,
    "Slice": shapes.slice_,
    "Gather": lookups.gather,
    "Cast": lookups.cast,
    "Pad": shapes.pad,
    "Transpose": shapes.transpose,
    "Expand": shapes.expand,
    "Tile": shapes.expand,
    "Dropout": shapes.dropout,
    "DepthToSpace": shapes.depth_space,
    "SpaceToDepth": shapes.depth_space,
    "Resize": resize.resize,
    "Upsample": resize.resize,
    "Softmax": shapes.softmax,
    "LogSoftmax": shapes.softmax,
    "LayerNormalization": shapes.layer_norm,
    "RMSNormalization": shapes.layer_norm,
    **dict.fromkeys(("RNN", "LSTM", "GRU"), recurrent.recurrent),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"), shapes.reshape),
    **dict.fromkeys(activations.UNARY, activations.unary),
    **dict.fromkeys(activations.BINARY, activations.binary),
}
"""ONNX operator -> rule. Not listed: runs on the CPU."""

OLDEST_OPSET = 9
"""The oldest operator set whose operators the rules know."""


def canonicalise(graph: Graph) -> None:
    """Rewrite every node of `graph`; what has no NPU form gets a `Node.reason`."""
    read = {name for node in graph.nodes for name in node.inputs} | set(graph.outputs)
    for node in graph.nodes:
        while len(node.outputs) > 1 and node.outputs[-1] not in read:
            node.outputs.pop()
    version = opset(graph)
    if version < OLDEST_OPSET:  # the same names meant other things
        for node in graph.nodes:
            node.reason = f"opset {version}: export the model with opset {OLDEST_OPSET} or later"
        return
    graph.replace_nodes([_rewrite(graph, node) for node in graph.nodes])
    lookups.store_integers(graph)


def _rewrite(graph: Graph, node: Node) -> Node:
    rule = RULES.get(node.op)
    if rule is None:
        node.reason = f"operator {node.op} is not on the NPU"
        return node
    if node.op in ("Conv", "ConvTranspose"):
        convs.check_fit(graph, node)
    try:
        if node.op not in lookups.READS_INTEGERS:
            check_float(graph, node)
        return rule(graph, copy.copy(node))
    except Unsupported as why:
        node.reason = f"operator {node.op}: {why}"
        return node
