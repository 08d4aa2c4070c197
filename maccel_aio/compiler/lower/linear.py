"""Linear: a 1x1 convolution over rows, or CONVDYN over rows that DYNQUANT quantises."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import FLOAT, CompileError, TensorQuant
from maccel_aio.compiler.isa import Op
from maccel_aio.compiler.lower.conv import (
    Places,
    Window,
    emit_conv,
    input_of,
    is_after,
    second_of,
    sum_of,
)
from maccel_aio.compiler.lower.emit import code_range, epilogue, residual_flag

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Array, Node, TokenQuant
    from maccel_aio.compiler.lower.context import Context
    from maccel_aio.compiler.view import View

_ROW_CODES = TensorQuant("u8", 1.0, 128)
_POSITIVE_CODES = TensorQuant("u8", 1.0, 0)
"""The formats of rows with a scale of their own; the real scale is in a tensor beside them."""


@dataclass(frozen=True)
class QuantisedRows:
    """Rows as DYNQUANT leaves them: codes u8 [1, 1, rows, k], scales f32 [1, 1, rows, 1]."""

    codes: View
    scales: View


def linear(ctx: Context, node: Node) -> None:
    """Lower Linear."""
    if node.tokens is not None:
        rows = _quantised_rows(ctx, node, node.tokens)
        _emit_dynamic(ctx, node, node.tokens, rows, _places(ctx, node, rows.codes))
        return
    total = sum_of(node)
    places = _places(ctx, node, rows_of(ctx, input_of(ctx, node, total)))
    emit_conv(ctx, places, total, Window((1, 1)), node.act, is_after(node))


def _places(ctx: Context, node: Node, x: View) -> Places:
    residual = None if node.residual is None else rows_of(ctx, ctx.view(node.residual.tensor))
    second = second_of(ctx, node)
    out = _as_rows(ctx.write(node.output))
    other = None if second is None else _as_rows(second)
    if out is None or (second is not None and other is None):
        raise CompileError(f"node {node.name!r}: the result cannot be written in rows")
    return Places(x, out, residual, other)


def _quantised_rows(ctx: Context, node: Node, tokens: TokenQuant) -> QuantisedRows:
    """Return the rows of a layer's input; those of layers that read the same are made once."""
    smooth = tokens.smooth
    key = (node.inputs[0], None if smooth is None else smooth.tobytes())
    if key not in ctx.quantised_rows:
        x = rows_of(ctx, ctx.as_float(ctx.view(node.inputs[0])))
        codes = ctx.fresh(x.dims, _ROW_CODES if tokens.low is None else _POSITIVE_CODES)
        scales = ctx.fresh((*x.dims[:3], 1), FLOAT)
        consts = {} if smooth is None else {0: smooth}
        ctx.emitter.emit(
            Op.DYNQUANT,
            [x],
            [codes, scales],
            consts=consts,
            ints={10: int(tokens.low is not None)},
            floats={0: tokens.low or 0.0},
        )
        ctx.quantised_rows[key] = QuantisedRows(codes, scales)
    return ctx.quantised_rows[key]


def _emit_dynamic(
    ctx: Context, node: Node, tokens: TokenQuant, rows: QuantisedRows, places: Places
) -> None:
    out, second, residual = places.out, places.second, places.residual
    after = is_after(node)
    keep = (residual is not None and after) or (second is not None and second.is_float)
    tail = epilogue(out, node.act, keep_clamp=keep)
    ints, floats = {**Window((1, 1)).ints(), 10: 1, **tail.ints}, dict(tail.floats)
    if residual is not None:
        floats[2] = residual.scale * tail.unit
    if second is not None:
        ints[14], ints[15] = code_range(second, node.act, use_act=not keep)
        floats[4] = (out.scale if not out.is_float else 1.0) / second.scale
    sums = tokens.weights.astype(np.int64).sum(axis=(1, 2, 3))
    consts: dict[int, Array] = {
        **tail.consts,
        0: tokens.weights,
        1: (-rows.codes.zero * sums).astype(np.int32),
        2: (tokens.scale * tail.unit).astype(np.float32),
        5: (tokens.bias * tail.unit).astype(np.float32),
    }
    ctx.emitter.emit(
        Op.CONVDYN,
        [rows.codes, residual, rows.scales],
        [out] if second is None else [out, second],
        consts=consts,
        ints=ints,
        floats=floats,
        flags=residual_flag(after and residual is not None),
    )


def _as_rows(view: View) -> View | None:
    rows = view.reshape((1, 1, math.prod(view.dims[:-1]), view.dims[-1]))
    adjacent = rows is not None and (rows.dims[3] == 1 or rows.strides[3] == rows.item)
    return rows if adjacent else None


def rows_of(ctx: Context, view: View) -> View:
    """Return a view as [1, 1, rows, k] with adjacent elements, copied if it does not lie so."""
    rows = _as_rows(view)
    if rows is None:
        packed = ctx.reshaped(view, (math.prod(view.dims),)).reshape(view.dims)
        rows = None if packed is None else _as_rows(packed)
    if rows is None:
        # A repeated or transposed operand: lay it out row by row.
        rows = _as_rows(ctx.copied(view, view.quant, tuple(range(len(view.dims)))))
    assert rows is not None
    return rows
