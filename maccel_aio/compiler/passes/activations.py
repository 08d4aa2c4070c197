"""Pointwise operators: each becomes Activation, or a binary operator in canonical form."""

from __future__ import annotations

import numpy as np

from maccel_aio.compiler.ir import Activation, Graph, Node
from maccel_aio.compiler.passes.rules import Unsupported, const_input, operand, shape_of
from maccel_aio.compiler.pointwise import FLOAT_MAX

_PLAIN = {
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Exp": "exp",
    "Log": "log",
    "Sqrt": "sqrt",
    "Reciprocal": "reciprocal",
    "Abs": "abs",
    "Neg": "neg",
    "Erf": "erf",
    "Mish": "mish",
    "Floor": "floor",
    "Ceil": "ceil",
    "Round": "round",
    "Sin": "sin",
    "Cos": "cos",
}

_ALPHA_BETA = {
    "LeakyRelu": ("leaky", 0.01, 0.0),
    "Elu": ("elu", 1.0, 0.0),
    "HardSigmoid": ("hardsigmoid", 0.2, 0.5),
}

UNARY = (*_PLAIN, *_ALPHA_BETA, "Relu", "Clip", "HardSwish", "Gelu", "PRelu", "Swish")
BINARY = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Sum")


def unary(graph: Graph, node: Node) -> Node:
    """Return the Activation that a unary operator is."""
    node.act = _activation(graph, node)
    node.op, node.attrs, node.inputs = "Activation", {}, node.inputs[:1]
    return node


def _activation(graph: Graph, node: Node) -> Activation:
    if node.op in _PLAIN:
        return Activation(_PLAIN[node.op])
    if node.op in _ALPHA_BETA:
        kind, alpha, beta = _ALPHA_BETA[node.op]
        a, b = node.attrs.get("alpha", alpha), node.attrs.get("beta", beta)
        return Activation(kind, float(a), float(b))
    if node.op in ("Relu", "Clip"):
        return Activation("clamp", 0.0, FLOAT_MAX) if node.op == "Relu" else _clip(graph, node)
    if node.op == "HardSwish":
        return Activation("hardswish", 1.0 / 6.0, 0.5)
    if node.op == "Gelu":
        tanh = node.attrs.get("approximate", "none") == "tanh"
        return Activation("gelu_tanh" if tanh else "gelu_erf")
    return _swish(node) if node.op == "Swish" else _prelu(graph, node)


def _swish(node: Node) -> Activation:
    if float(node.attrs.get("alpha", 1.0)) != 1.0:
        raise Unsupported("alpha of Swish")
    return Activation("silu")


def _clip(graph: Graph, node: Node) -> Activation:
    bounds = []
    for index, attr, default in ((1, "min", -FLOAT_MAX), (2, "max", FLOAT_MAX)):
        value = node.attrs.get(attr)
        if value is None:
            found = const_input(graph, node, index, f"the {attr} bound")
            value = default if found is None else found.reshape(-1)[0]
        bounds.append(float(np.clip(value, -FLOAT_MAX, FLOAT_MAX)))
    low, high = bounds
    return Activation("clamp", min(low, high), high)  # crossed bounds: the upper one everywhere


def _prelu(graph: Graph, node: Node) -> Activation:
    slope = const_input(graph, node, 1, "the slope")
    shape = shape_of(graph, node.inputs[0])
    if slope is None:
        raise Unsupported("the slope is missing")
    flat = np.asarray(slope, np.float32).ravel()
    if flat.size == 1 or np.all(flat == flat[0]):
        return Activation("leaky", float(flat[0]))
    axis = 1 if len(shape) > 1 else 0
    aligned = (1,) * (len(shape) - slope.ndim) + slope.shape
    wanted = tuple(shape[d] if d == axis else 1 for d in range(len(shape)))
    if aligned != wanted or len(shape) not in (2, 3, 4):
        raise Unsupported(f"a slope of shape {slope.shape}")
    return Activation("prelu", slope=flat)


def binary(graph: Graph, node: Node) -> Node:
    """Return the canonical form of a binary operator."""
    names = [name for name in node.inputs if name]
    if len(names) == 1:
        node.op, node.attrs, node.inputs = "Reshape", {}, names
        return node
    if len(names) != 2:
        raise Unsupported(f"{len(names)} operands")
    for name in names:
        value = graph.const(name)
        if value is not None and value.dtype != np.float32 and node.op != "Pow":
            raise Unsupported(f"an operand of type {value.dtype}")
    if node.op == "Pow":
        return _power(graph, node)
    node.op, node.attrs = ("Add" if node.op == "Sum" else node.op), {}
    return node


def _power(graph: Graph, node: Node) -> Node:
    exponent = graph.const(operand(node, 1))
    node.attrs = {}
    if exponent is None or exponent.size != 1:
        if exponent is not None:
            raise Unsupported("an exponent per element")
        return node
    kinds = {2.0: "square", 0.5: "sqrt", -1.0: "reciprocal", -0.5: "rsqrt"}
    value = float(exponent.reshape(-1)[0])
    same_shape = graph.tensors[node.inputs[0]].shape == graph.tensors[node.output].shape
    if value in kinds and same_shape:  # an exponent of higher rank adds dimensions
        node.act = Activation(kinds[value])
        node.op, node.inputs = "Activation", node.inputs[:1]
    return node
