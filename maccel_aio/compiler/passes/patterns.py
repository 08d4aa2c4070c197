"""Recognises pointwise functions that are spelled out in several nodes (GELU, hard-swish ...).

The nodes between one tensor and a later one are evaluated on a grid and compared with the
functions that the NPU has. That finds every way of writing a function, not only known ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import Activation, Graph, Node
from maccel_aio.compiler.pointwise import evaluate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_OPS = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
_EXTREMES = {"Max": np.maximum, "Min": np.minimum, "Pow": np.power}
_ROOTS = (*_OPS, "Activation", "Min", "Max")
_DEPTH = 12
_FAR: Floats = np.array([15.0, 20.0, 25.0, 33.0, 50.0, 80.0, 120.0, 300.0, 1e3, 1e4])
_GRID: Floats = np.concatenate([np.linspace(-12.0, 12.0, 193), [-0.01, 0.003, 1e-4], -_FAR, _FAR])
"""Dense where functions bend; far out, where only a bound that is not the function's shows."""

CANDIDATES = (
    Activation("silu"),
    Activation("gelu_erf"),
    Activation("gelu_tanh"),
    Activation("hardswish", 1.0 / 6.0, 0.5),
    Activation("hardsigmoid", 1.0 / 6.0, 0.5),
    Activation("hardsigmoid", 0.2, 0.5),
    Activation("mish"),
    Activation("sigmoid"),
    Activation("softplus"),
)


@dataclass
class _Cone:
    """Nodes that compute one tensor from the tensor `source`."""

    nodes: list[Node]
    source: str


def match_patterns(graph: Graph) -> None:
    """Replace spelled-out functions in `graph`, largest first."""
    producers = graph.producers()
    order = {id(node): k for k, node in enumerate(graph.nodes)}
    for node in reversed(graph.nodes):
        if node.op not in _ROOTS or node.reason:
            continue
        found = _match(graph, node, producers, order)
        if found is not None:
            cone, act = found
            names = tuple(name for member in cone.nodes for name in member.source)
            node.op, node.attrs, node.inputs, node.act = "Activation", {}, [cone.source], act
            node.source = names
    drop_dead(graph)


def drop_dead(graph: Graph) -> None:
    """Remove nodes whose results nobody reads."""
    wanted = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if any(out in wanted for out in node.outputs):
            kept.append(node)
            wanted.update(node.inputs)
    graph.replace_nodes(reversed(kept))


def _match(
    graph: Graph, root: Node, producers: dict[str, Node], order: dict[int, int]
) -> tuple[_Cone, Activation] | None:
    best: tuple[_Cone, Activation] | None = None
    for cone in _cones(graph, root, producers, order):
        act = _recognise(graph, cone, root)
        if act is not None:
            best = (cone, act)
    return best


def _pointwise(graph: Graph, node: Node) -> bool:
    """Whether a node is a function of one element, constants being scalars."""
    if node.reason or node.residual is not None:
        return False
    if node.op == "Activation":
        return node.act is not None and node.act.kind != "prelu"
    if node.op not in _OPS and node.op not in _EXTREMES:
        return False
    consts = [graph.const(name) for name in node.inputs]
    return all(value is None or value.size == 1 for value in consts)


def _cones(
    graph: Graph, root: Node, producers: dict[str, Node], order: dict[int, int]
) -> list[_Cone]:
    """Return the cones that end in `root`, smallest first."""
    found: list[_Cone] = []
    members: list[Node] = []
    opened = {root.output}
    shape = graph.tensors[root.output].shape
    while len(members) < _DEPTH:
        makers = [producers[n] for n in opened if n in producers]
        makers = [m for m in makers if _pointwise(graph, m)]
        if not makers:
            break
        last = max(makers, key=lambda m: order[id(m)])
        members.insert(0, last)
        opened.discard(last.output)
        opened.update(graph.activations(last))
        if any(graph.tensors[n].shape != shape for n in opened):
            break
        if len(opened) == 1 and len(members) > 1:
            found.append(_Cone(list(members), next(iter(opened))))
    return found


def _recognise(graph: Graph, cone: _Cone, root: Node) -> Activation | None:
    values: dict[str, Floats] = {cone.source: _GRID}
    with np.errstate(all="ignore"):
        for node in cone.nodes:
            values[node.output] = _compute(graph, node, values)
        got = values[root.output]
        # Spelled out, a function may overflow far out where its own form does not.
        judged = np.isfinite(got) | (np.abs(_GRID) <= _FAR[0])
        for act in CANDIDATES:
            if np.allclose(got[judged], evaluate(act, _GRID)[judged], rtol=2e-5, atol=2e-6):
                return act
    return None


def _compute(graph: Graph, node: Node, values: dict[str, Floats]) -> Floats:
    args: list[Floats] = []
    for name in node.inputs:
        const = graph.const(name)
        args.append(values[name] if const is None else np.asarray(const, np.float64).reshape(-1))
    combine = (_OPS | _EXTREMES).get(node.op)
    result = args[0] if combine is None else combine(args[0], args[1])
    return evaluate(node.act, result) if node.act is not None else result
