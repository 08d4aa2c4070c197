"""RNN, LSTM and GRU in their canonical form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import Activation
from maccel_aio.compiler.isa import Recurrence
from maccel_aio.compiler.passes.rules import Unsupported, const_input, operand, shape_of

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Array, Graph, Node

GATES = {
    Recurrence.RNN: 1,
    Recurrence.LSTM: 4,
    Recurrence.GRU: 3,
    Recurrence.GRU_LINEAR: 3,
}
"""Gates of a layer, in the order of ONNX."""

_BACKWARD = {"forward": 0, "reverse": 1, "bidirectional": 2}
"""Mask of the directions that start at the last step."""

_USUAL = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
_RNN_ACTS = {
    "Tanh": Activation("tanh"),
    "Sigmoid": Activation("sigmoid"),
    "Relu": Activation("clamp", 0.0, float("inf")),
}


def recurrent(graph: Graph, node: Node) -> Node:
    """Return Recurrent: one node for all steps and directions."""
    kind = Recurrence[node.op]
    if kind is Recurrence.GRU and node.attrs.get("linear_before_reset", 0):
        kind = Recurrence.GRU_LINEAR
    backward = _BACKWARD.get(str(node.attrs.get("direction", "forward")).lower())
    if backward is None:
        raise Unsupported(f"direction {node.attrs['direction']!r}")
    batch_first = bool(node.attrs.get("layout", 0))
    weights, hidden_weights = (
        _finite(const_input(graph, node, k, what), what)
        for k, what in ((1, "the weight"), (2, "the recurrent weight"))
    )
    directions, units = hidden_weights.shape[0], hidden_weights.shape[2]
    act = _activation(node, directions)
    _check_plain(graph, node, batch_first)
    bias = _bias(graph, node, directions, units * GATES[kind])
    split = units * 2 if kind is Recurrence.GRU_LINEAR else units * GATES[kind]
    added = bias[:, 0].copy()
    added[:, :split] += bias[:, 1, :split]
    node.attrs = {
        "kind": kind,
        "backward": backward,
        "batch_first": batch_first,
        "results": tuple(r for r, name in zip("yhc", node.outputs, strict=False) if name),
        "weights": weights.reshape(-1, weights.shape[2]),
        "bias": added.ravel(),
        "hidden_weights": hidden_weights,
        "hidden_bias": bias[:, 1, split:] if kind is Recurrence.GRU_LINEAR else None,
    }
    node.op, node.act = "Recurrent", act
    node.inputs = [node.inputs[0], *(_state(graph, node, k) for k in (5, 6))]
    node.outputs = [name for name in node.outputs if name]
    return node


def _finite(value: Array | None, what: str) -> Array:
    if value is None or value.dtype != np.float32 or value.ndim != 3:
        raise Unsupported(f"{what} is not float32 of 3 dimensions")
    if not np.isfinite(value).all():
        raise Unsupported(f"{what} is not finite")
    return value


def _bias(graph: Graph, node: Node, directions: int, columns: int) -> Array:
    """Return both biases, float32 [directions, 2, columns]."""
    value = const_input(graph, node, 3, "the bias")
    if value is None:
        return np.zeros((directions, 2, columns), np.float32)
    if not np.isfinite(value).all():
        raise Unsupported("the bias is not finite")
    return np.asarray(value, np.float32).reshape(directions, 2, columns)


def _activation(node: Node, directions: int) -> Activation | None:
    """Return the function of an RNN, None for the usual ones of LSTM and GRU."""
    usual = _USUAL[node.op]
    names = [str(n).capitalize() for n in _texts(node.attrs.get("activations"))]
    names = names or usual * directions
    if node.op == "RNN" and len(set(names)) == 1 and names[0] in _RNN_ACTS:
        return _RNN_ACTS[names[0]]
    if names != usual * directions:
        raise Unsupported(f"activations {names}")
    return None


def _texts(values: list[bytes | str] | None) -> list[str]:
    return [v.decode() if isinstance(v, bytes) else v for v in values or []]


def _check_plain(graph: Graph, node: Node, batch_first: bool) -> None:
    """Refuse what the device's layer has no form of."""
    if node.attrs.get("clip"):
        raise Unsupported("clip")
    if node.attrs.get("input_forget", 0):
        raise Unsupported("input_forget")
    lengths = const_input(graph, node, 4, "the list of sequence lengths")
    shape = shape_of(graph, node.inputs[0])
    steps = shape[1] if batch_first else shape[0]
    if lengths is not None and (lengths != steps).any():
        raise Unsupported("sequences of different lengths")
    if operand(node, 7):
        peepholes = const_input(graph, node, 7, "the peephole weight")
        if peepholes is not None and peepholes.any():
            raise Unsupported("peepholes")


def _state(graph: Graph, node: Node, index: int) -> str:
    """Return the name of a first state, "" when it is left out or zero."""
    name = operand(node, index)
    value = graph.const(name) if name else None
    return "" if value is not None and not value.any() else name
