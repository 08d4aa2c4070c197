"""Recognises pointwise functions that are spelled out in several nodes (GELU, hard-swish ...).

The nodes between one tensor and a later one are evaluated on a grid and compared with the
functions that the NPU has. That finds every way of writing a function, not only known ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import Activation
from maccel_aio.compiler.passes.cones import Growth, rewrite_cones
from maccel_aio.compiler.pointwise import evaluate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from maccel_aio.compiler.ir import Graph, Node
    from maccel_aio.compiler.passes.cones import Cone, Shape

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


def match_patterns(graph: Graph) -> None:
    """Replace spelled-out functions in `graph`, largest first."""
    rewrite_cones(graph, Growth(_ROOTS, _pointwise, lambda shape: (shape,), _DEPTH), _rewrite)


def _rewrite(graph: Graph, root: Node, cones: list[Cone]) -> None:
    for cone in reversed(cones):
        act = _recognise(graph, cone, root) if len(cone.nodes) > 1 else None
        if act is not None:
            root.op, root.attrs, root.inputs, root.act = "Activation", {}, [cone.source], act
            root.source = cone.names
            return


def _pointwise(graph: Graph, node: Node, shape: Shape) -> bool:
    """Whether a node is a function of one element, constants being scalars."""
    del shape
    if node.reason or node.residual is not None:
        return False
    if node.op == "Activation":
        return node.act is not None and node.act.kind != "prelu"
    if node.op not in _OPS and node.op not in _EXTREMES:
        return False
    consts = [graph.const(name) for name in node.inputs]
    return all(value is None or value.size == 1 for value in consts)


def _recognise(graph: Graph, cone: Cone, root: Node) -> Activation | None:
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
