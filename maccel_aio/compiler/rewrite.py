"""Rewrites of the ONNX model itself, so that every intermediate value has a name in it."""

from __future__ import annotations

import onnx

_VARIADIC = {"Sum": "Add", "Max": "Max", "Min": "Min"}


def split_variadic(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return `model` with Sum, Max and Min of more than two operands as chains of two."""
    if not any(n.op_type in _VARIADIC and len(n.input) > 2 for n in model.graph.node):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    nodes: list[onnx.NodeProto] = []
    for node in result.graph.node:
        chained = node.op_type in _VARIADIC and len(node.input) > 2 and node.domain == ""
        nodes.extend(_chain(node) if chained else [node])
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    return result


def _chain(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    base = node.name or node.output[0]
    total, chain = node.input[0], list[onnx.NodeProto]()
    for k, operand in enumerate(node.input[1:], 1):
        last = k == len(node.input) - 1
        out = node.output[0] if last else f"{node.output[0]}:{k}"
        name = base if last else f"{base}:{k}"
        op = _VARIADIC[node.op_type]
        chain.append(onnx.helper.make_node(op, [total, operand], [out], name=name))
        total = out
    return chain
