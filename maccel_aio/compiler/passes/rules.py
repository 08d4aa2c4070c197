"""What every rewriting rule shares: the exception that sends a node to the CPU, and readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from maccel_aio.compiler.ir import Array, Graph, Node

    Rule = Callable[[Graph, Node], Node]


class Unsupported(Exception):  # noqa: N818  (control flow inside the passes, not an error)
    """The NPU has no form of this node; the text becomes `Node.reason`."""


def opset(graph: Graph) -> int:
    """Return the version of the ONNX operator set."""
    return next((o.version for o in graph.model.opset_import if o.domain in ("", "ai.onnx")), 1)


def operand(node: Node, index: int) -> str:
    """Return the name of input `index`, "" when it is left out."""
    return node.inputs[index] if index < len(node.inputs) else ""


def const_input(graph: Graph, node: Node, index: int, what: str) -> Array | None:
    """Return the value of input `index`, None when it is left out.

    Raises:
        Unsupported: it is computed at run time.
    """
    name = operand(node, index)
    if not name:
        return None
    value = graph.const(name)
    if value is None:
        raise Unsupported(f"{what} is computed at run time")
    return value


def ints(graph: Graph, node: Node, attr: str, index: int) -> list[int] | None:
    """Return a list of integers given as attribute or, in later operator sets, as an input."""
    value: Any = node.attrs.get(attr)
    if value is None:
        value = const_input(graph, node, index, attr)
    return None if value is None else [int(x) for x in np.atleast_1d(value)]


def shape_of(graph: Graph, name: str) -> tuple[int, ...]:
    """Return a static shape with positive dimensions.

    Raises:
        Unsupported: it is not known, or empty.
    """
    shape = graph.tensors[name].shape
    if shape is None:
        raise Unsupported(f"the shape of {name!r} is not static")
    if shape and min(shape) < 1:
        raise Unsupported(f"{name!r} is empty")
    return shape


def axis_of(value: int, rank: int) -> int:
    """Return a non-negative axis."""
    return value + rank if value < 0 else value


def check_float(graph: Graph, node: Node) -> None:
    """Check that all tensors of a node are float32 with static shapes of at most 6 dimensions.

    Raises:
        Unsupported: one is not.
    """
    for name in (*graph.activations(node), *(out for out in node.outputs if out)):
        tensor = graph.tensors[name]
        if tensor.dtype != np.float32:
            raise Unsupported(f"{name!r} has type {tensor.dtype}")
        if len(shape_of(graph, name)) > 6:
            raise Unsupported(f"{name!r} has more than 6 dimensions")
