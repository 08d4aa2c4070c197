"""Attention: one ATTENTION in codes, or MATMUL, SOFTMAX and MATMUL in floats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maccel_aio.compiler.ir import FLOAT
from maccel_aio.compiler.isa import Op
from maccel_aio.compiler.lower.rows import emit_product, emit_softmax

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Node
    from maccel_aio.compiler.lower.context import Context
    from maccel_aio.compiler.view import View


def attention(ctx: Context, node: Node) -> None:
    """Lower Attention."""
    queries, keys, values = (ctx.as_float(ctx.view(name)) for name in node.inputs[:3])
    out = ctx.write(node.output)
    masks = [ctx.as_float(ctx.view(name)) for name in node.inputs[3:]]
    if node.attrs.get("codes", False):
        _emit_codes(ctx, node, [queries, _turned(keys), values, *masks], out)
        return
    dims = (*out.dims[:-1], keys.dims[-1])
    scores, shares = ctx.fresh(dims, FLOAT), ctx.fresh(dims, FLOAT)
    emit_product(ctx, queries, keys, scores, None)
    views = [scores, *(mask.expand(dims) for mask in masks), shares]
    emit_softmax(ctx, views, len(dims) - 1, node.attrs["scale"])
    emit_product(ctx, shares, values, out, None)


def _turned(view: View) -> View:
    """Return a view with its last two dimensions exchanged."""
    rank = len(view.dims)
    return view.permute((*range(rank - 2), rank - 1, rank - 2))


def _emit_codes(ctx: Context, node: Node, operands: list[View], out: View) -> None:
    lead, (rows, keys) = out.dims[:-2], (operands[0].dims[-2], operands[1].dims[-2])
    wanted = [view.dims[-2:] for view in operands[:3]] + [(rows, keys)] * (len(operands) - 3)
    views = [
        _whole_rows(ctx, view).expand((*lead, *dims))
        for view, dims in zip(operands, wanted, strict=True)
    ]
    ctx.emitter.emit(Op.ATTENTION, views, [out], floats={5: node.attrs["scale"]})


def _whole_rows(ctx: Context, view: View) -> View:
    """Return a view whose rows have adjacent elements."""
    if view.strides[-1] == view.item or view.dims[-1] == 1:
        return view
    return ctx.copied(view, FLOAT, tuple(range(len(view.dims))))
