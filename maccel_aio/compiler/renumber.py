"""Formats in which adding or multiplying one number changes no code.

``y = a * x + b`` with one number a or b needs no instruction and loses nothing if x is stored so
that its codes mean y when they are read with the format of y: with the scale over a, or with the
zero point moved by b. For the latter b has to be a multiple of the scale: the scale grows a
little, or, where only layers with biases read y, these put back what is left of b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import TensorQuant

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Graph, Node

_COARSER = 1.2
"""The scale may grow by this factor; else x keeps 8 bits of its own."""

_SMALLEST_FACTOR = 1e-3


def number_of(graph: Graph, node: Node) -> tuple[str, float, float] | None:
    """Return (x, a, b) if `node` computes ``a * x + b`` with finite numbers and a > 0."""
    if node.op not in ("Add", "Sub", "Mul", "Div") or node.act is not None or node.residual:
        return None
    constants = [graph.const(name) for name in node.inputs]
    which = [k for k, value in enumerate(constants) if value is not None and value.size == 1]
    if len(which) != 1 or (which == [0] and node.op in ("Sub", "Div")):
        return None
    source = node.inputs[1 - which[0]]
    if graph.const(source) is not None:
        return None
    value = float(np.asarray(constants[which[0]], np.float64).ravel()[0])
    if node.op == "Div":
        value = 1.0 / value if value else 0.0
    if not np.isfinite(value):
        return None
    if node.op in ("Add", "Sub"):
        return source, 1.0, value if node.op == "Add" else -value
    return (source, value, 0.0) if value > _SMALLEST_FACTOR else None


@dataclass(frozen=True)
class SharedCodes:
    """Formats of x and y with the same codes.

    Attributes:
        x: of the source.
        y: of the result.
        offset: what y really is above what its codes say.
    """

    x: TensorQuant
    y: TensorQuant
    offset: float = 0.0


def shared_codes(
    y: TensorQuant,
    low: float,
    high: float,
    factor: float,
    shift: float,
    *,
    exact: bool,
) -> SharedCodes | None:
    """Return formats with the same codes, or None where there are none that are good.

    Args:
        y: the format of ``factor * x + shift`` on its own, u8.
        low: smallest value of y.
        high: largest value of y.
        factor: above 0.
        shift: 0 unless `factor` is 1.
        exact: whether y must be what its codes say; else the caller takes the offset away.
    """
    if shift == 0.0:
        return SharedCodes(TensorQuant("u8", float(np.float32(y.scale / factor)), y.zero), y)
    steps = round(shift / y.scale)
    scale, zero = y.scale, y.zero
    if exact:
        steps = int(shift / y.scale)
        if steps == 0 or abs(shift / steps) > y.scale * _COARSER:
            return None
        scale = float(np.float32(shift / steps))
        zero = int(np.clip(np.rint(-min(low, 0.0) / scale), 0, 255))
        if max(high, 0.0) > (255.5 - zero) * scale or min(low, 0.0) < -(zero + 0.5) * scale:
            return None
    if not 0 <= zero + steps <= 255:
        return None
    x, result = TensorQuant("u8", scale, zero + steps), TensorQuant("u8", scale, zero)
    return SharedCodes(x, result, 0.0 if exact else shift - steps * scale)
