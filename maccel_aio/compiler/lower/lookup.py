"""Look-ups in tables and conversions of integers: GATHER and MAP instructions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maccel_aio.compiler.isa import Op
from maccel_aio.compiler.lower.emit import collapse

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Node
    from maccel_aio.compiler.lower.context import Context


def lookup(ctx: Context, node: Node) -> None:
    """Lower Lookup: one row of the table for every integer."""
    table = node.attrs["table"]
    out = ctx.write(node.output)
    places = ctx.view(node.inputs[0])
    rows = ctx.reshaped(out, (*places.dims, table.shape[1]))
    (flat,) = collapse([places])
    target = rows.reshape((*flat.dims, table.shape[1]))
    assert target is not None  # new memory in row-major order
    ctx.emitter.emit(Op.GATHER, [flat], [target], consts={0: table})


def cast(ctx: Context, node: Node) -> None:
    """Lower Cast: nothing to do where the upload has made floats of the integers."""
    view = ctx.view(node.inputs[0])
    if view.is_float:
        ctx.bind(node.output, view)
    else:
        ctx.copy(view, ctx.write(node.output))
