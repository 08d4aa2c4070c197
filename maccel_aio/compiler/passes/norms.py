"""Recognises LayerNorm and RMSNorm that are spelled out in several nodes.

What lies between a tensor and a later one, means over the last dimension among it, is evaluated on
rows of random numbers and compared with the two norms. That finds every way of writing them: with
squares as powers or products, roots and divisions in any order, weights before or after the sum,
or the variance as a mean of squares less a squared mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.passes.cones import Growth, rewrite_cones
from maccel_aio.compiler.pointwise import evaluate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from maccel_aio.compiler.ir import Graph, Node
    from maccel_aio.compiler.passes.cones import Cone, Shape

    Floats = NDArray[np.float64]

_BINARY = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
}
_ROOTS = ("Add", "Sub", "Mul", "Div")
_DEPTH = 16
_ROWS = 12
_LARGEST_EPSILON = 0.1
_NEAR = 1e-8


@dataclass(frozen=True)
class _Norm:
    """The attributes of a LayerNorm: see `ir`."""

    epsilon: float
    rms: bool
    scale: Floats
    bias: Floats


def match_norms(graph: Graph) -> None:
    """Replace spelled-out norms in `graph`; run while every node is canonical and unfused."""
    rewrite_cones(graph, Growth(_ROOTS, _member, _shapes, _DEPTH), _rewrite)


def _shapes(shape: Shape | None) -> tuple[Shape, ...]:
    """Return the shapes within a norm: that of its rows, and one number a row."""
    if shape is None or len(shape) < 2 or shape[-1] < 2:
        return ()
    return shape, (*shape[:-1], 1)


def _rewrite(graph: Graph, root: Node, cones: list[Cone]) -> None:
    """Make `root` the largest norm that ends in it."""
    shape = graph.tensors[root.output].shape
    for cone in reversed(cones):
        reduces = any(node.op == "Reduce" for node in cone.nodes)
        if not reduces or shape is None or graph.tensors[cone.source].shape != shape:
            continue
        found = _recognise(graph, cone, shape[-1])
        if found is not None:
            _become(root, cone, found)
            return


def _become(node: Node, cone: Cone, found: _Norm) -> None:
    node.op, node.inputs, node.act, node.source = "LayerNorm", [cone.source], None, cone.names
    plain = np.all(found.bias == 0.0)
    node.attrs = {
        "epsilon": found.epsilon,
        "rms": found.rms,
        "scale": found.scale.astype(np.float32),
        "bias": None if plain else found.bias.astype(np.float32),
    }


def _member(graph: Graph, node: Node, shape: Shape) -> bool:
    """Whether a node may be part of a norm over the last dimension of `shape`."""
    if node.reason or node.residual is not None:
        return False
    if node.op == "Reduce":
        rank = len(graph.tensors[node.inputs[0]].dims)
        return bool(
            node.attrs["kind"] in ("mean", "sum")
            and node.attrs["keepdims"]
            and tuple(node.attrs["axes"]) == (rank - 1,)
        )
    if node.op == "Activation":
        return node.act is not None and node.act.kind in ("square", "sqrt", "reciprocal", "rsqrt")
    if node.op not in _BINARY or node.act is not None:
        return False
    consts = [graph.const(name) for name in node.inputs]
    return all(c is None or _is_row(c.shape, shape[-1]) for c in consts)


def _is_row(shape: tuple[int, ...], width: int) -> bool:
    return all(n == 1 for n in shape[:-1]) and (not shape or shape[-1] in (1, width))


def _recognise(graph: Graph, cone: Cone, width: int) -> _Norm | None:
    """Return the norm that the nodes compute on random rows, and on one that has no size."""
    rng = np.random.default_rng(0)
    sizes = np.logspace(-3, 3, _ROWS)[:, None]
    rows = (rng.normal(size=(_ROWS, width)) + rng.normal(size=(_ROWS, 1))) * sizes
    with np.errstate(all="ignore"):
        made = _compute(graph, cone, rows)
        still = _compute(graph, cone, np.zeros((1, width)))
    if made.shape != rows.shape or not np.isfinite(made).all():
        return None
    for rms in (False, True):
        for epsilon in _epsilons(graph, cone):
            # Without epsilon there is no answer for such a row; what has one adds it elsewhere.
            if np.isfinite(still).all() != (epsilon > 0.0):
                continue
            fitted = _fit(_normed(rows, epsilon, rms), made)
            if fitted is not None:
                return _Norm(epsilon, rms, *fitted)
    return None


def _epsilons(graph: Graph, cone: Cone) -> list[float]:
    """Return the numbers among the constants that may be what is added to the variance."""
    consts = [graph.const(name) for node in cone.nodes for name in node.inputs]
    numbers = {float(c.ravel()[0]) for c in consts if c is not None and c.size == 1}
    return [*sorted(n for n in numbers if 0.0 < n <= _LARGEST_EPSILON), 0.0]


def _normed(rows: Floats, epsilon: float, rms: bool) -> Floats:
    d = rows if rms else rows - rows.mean(axis=1, keepdims=True)
    result: Floats = d / np.sqrt((d * d).mean(axis=1, keepdims=True) + epsilon)
    return result


def _fit(normed: Floats, made: Floats) -> tuple[Floats, Floats] | None:
    """Return weight and bias per column with ``made = normed * weight + bias``, if they exist."""
    center, target = normed.mean(axis=0), made.mean(axis=0)
    spread = normed - center
    scale = (spread * (made - target)).sum(axis=0) / (spread * spread).sum(axis=0)
    bias = target - center * scale
    size = np.abs(made).max()
    bias[np.abs(bias) < _NEAR * size] = 0.0
    near = np.abs(normed * scale + bias - made) <= _NEAR * max(size, 1e-30)
    return (scale, bias) if near.all() else None


def _compute(graph: Graph, cone: Cone, rows: Floats) -> Floats:
    """Return what the last of the nodes makes of rows."""
    values: dict[str, Floats] = {cone.source: rows}
    result = rows
    for node in cone.nodes:
        args = [_value(graph, name, values) for name in node.inputs]
        if node.op == "Reduce":
            combine = np.mean if node.attrs["kind"] == "mean" else np.sum
            result = combine(np.broadcast_to(args[0], rows.shape), axis=-1, keepdims=True)
        elif node.op == "Activation" and node.act is not None:
            result = evaluate(node.act, args[0])
        else:
            result = _BINARY[node.op](args[0], args[1])
        values[node.output] = result
    return result


def _value(graph: Graph, name: str, values: dict[str, Floats]) -> Floats:
    const = graph.const(name)
    if const is None:
        return values[name]
    row: Floats = np.asarray(const, np.float64).reshape(-1)
    return row
