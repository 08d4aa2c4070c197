"""Takes the right branch of an ``If`` whose condition is known when the model is compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx

from maccel_aio.compiler.onnxgraph import rename_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from maccel_aio.compiler.ir import Array

_MOST_ROUNDS = 16
"""A branch may hold further conditions; deeper than that, they are decided at run time."""


def inline_branches(
    model: onnx.ModelProto,
    constants: Callable[[onnx.ModelProto], Mapping[str, Array]],
    infer: Callable[[onnx.ModelProto], onnx.ModelProto],
) -> onnx.ModelProto:
    """Return `model` with the nodes of the chosen branch instead of every decided ``If``.

    Args:
        model: with shapes inferred.
        constants: returns the values of a model that do not depend on its inputs.
        infer: infers the shapes of a model.
    """
    for _ in range(_MOST_ROUNDS):
        if not any(node.op_type == "If" for node in model.graph.node):
            return model
        known = constants(model)
        decided = [
            node for node in model.graph.node if node.op_type == "If" and node.input[0] in known
        ]
        if not decided:
            return model
        chosen = {node.output[0]: bool(np.any(known[node.input[0]])) for node in decided}
        model = infer(_inline(model, chosen))
    return model


def _inline(model: onnx.ModelProto, choices: Mapping[str, bool]) -> onnx.ModelProto:
    """Replace the ``If`` nodes that write the keys of `choices`."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    nodes: list[onnx.NodeProto] = []
    for number, node in enumerate(model.graph.node):
        if node.op_type != "If" or node.output[0] not in choices:
            nodes.append(node)
            continue
        wanted = "then_branch" if choices[node.output[0]] else "else_branch"
        branch = onnx.GraphProto()
        branch.CopyFrom(next(a.g for a in node.attribute if a.name == wanted))
        _own_names(branch, f"if{number}:{node.output[0]}")
        graph.initializer.extend(branch.initializer)
        nodes += branch.node
        nodes += [
            onnx.helper.make_node("Identity", [inner.name], [outer], name=f"{outer}:branch")
            for inner, outer in zip(branch.output, node.output, strict=False)
            if outer
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]  # shapes that both branches had to share
    return result


def _own_names(branch: onnx.GraphProto, prefix: str) -> None:
    """Give all values that a branch makes names that no other graph has."""
    made = [weight.name for weight in branch.initializer]
    made += [name for node in branch.node for name in node.output if name]
    for weight in branch.initializer:
        weight.name = f"{prefix}:{weight.name}"
    for name in made:
        rename_value(branch.node, name, f"{prefix}:{name}")
    for value in branch.output:
        value.name = f"{prefix}:{value.name}" if value.name in made else value.name
    for node in branch.node:
        node.name = f"{prefix}:{node.name}" if node.name else ""
