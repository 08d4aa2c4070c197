"""Recurrent: one CONVF for the inputs of all steps, one RECURRENT for the steps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import FLOAT
from maccel_aio.compiler.isa import Act, Op
from maccel_aio.compiler.lower.conv import Places, Sum, Window, emit_conv
from maccel_aio.compiler.lower.linear import rows_of
from maccel_aio.compiler.weights import stored_float

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Array, Node
    from maccel_aio.compiler.lower.context import Context
    from maccel_aio.compiler.view import View


def recurrent(ctx: Context, node: Node) -> None:
    """Lower Recurrent."""
    attrs, names = node.attrs, dict(zip(node.attrs["results"], node.outputs, strict=True))
    directions, _, units = attrs["hidden_weights"].shape
    x = _input_sums(ctx, node)
    _, steps, rows, _ = x.dims
    wide = (
        (rows, steps, directions, units)
        if attrs["batch_first"]
        else (steps, directions, rows, units)
    )
    target = ctx.write(names["y"]) if "y" in names else ctx.fresh(wide, FLOAT)
    y = target if _has_rows(target) else ctx.fresh(wide, FLOAT)
    laid = y.permute((2, 1, 0, 3) if attrs["batch_first"] else (1, 0, 2, 3))
    states = [_first_state(ctx, node, k) for k in (1, 2)]
    cell = ctx.write(names["c"]) if "c" in names else None
    last = cell if cell is None or _has_rows(cell) else ctx.fresh(cell.dims, FLOAT)
    ints, floats = {0: attrs["backward"], 10: int(attrs["kind"])}, dict[int, float]()
    if node.act is not None:
        ints[11], floats[0], floats[1] = Act[node.act.kind.upper()], node.act.a, node.act.b
    consts: dict[int, Array] = {0: stored_float(attrs["hidden_weights"], node.float_weights)}
    if attrs["hidden_bias"] is not None:
        consts[1] = np.ascontiguousarray(attrs["hidden_bias"])
    outputs = [laid] if last is None else [laid, _by_direction(last, node)]
    ctx.emitter.emit(Op.RECURRENT, [x, *states], outputs, consts=consts, ints=ints, floats=floats)
    if y is not target:
        ctx.copy(y, target)
    if cell is not None and last is not None and cell is not last:
        ctx.copy(last, cell)
    if "h" in names:
        _write_last(ctx, node, laid, ctx.write(names["h"]))


def _input_sums(ctx: Context, node: Node) -> View:
    """Return what the inputs add to the gates: [directions, steps, rows, gates * units]."""
    weights, batch_first = node.attrs["weights"], node.attrs["batch_first"]
    directions = node.attrs["hidden_weights"].shape[0]
    x = ctx.as_float(ctx.view(node.inputs[0]))
    outer, inner, _ = x.dims
    sums = ctx.fresh((outer, inner, len(weights)), FLOAT)
    total = Sum(weights[:, None, None, :], node.attrs["bias"], None, storage=node.float_weights)
    places = Places(rows_of(ctx, x), rows_of(ctx, sums))
    emit_conv(ctx, places, total, Window((1, 1)), None, after=False)
    split = sums.reshape((outer, inner, directions, len(weights) // directions))
    assert split is not None
    return split.permute((2, 1, 0, 3) if batch_first else (2, 0, 1, 3))


def _has_rows(view: View) -> bool:
    """Whether the device can write or read the view: floats, adjacent in the last dimension."""
    return view.is_float and (view.dims[-1] == 1 or view.strides[-1] == view.item)


def _by_direction(view: View, node: Node) -> View:
    """Return a state as [directions, rows, units]."""
    return view.permute((1, 0, 2)) if node.attrs["batch_first"] else view


def _first_state(ctx: Context, node: Node, index: int) -> View | None:
    if not node.inputs[index]:
        return None
    view = ctx.as_float(ctx.view(node.inputs[index]))
    if not _has_rows(view):
        view = ctx.copied(view, FLOAT, (0, 1, 2))
    return _by_direction(view, node)


def _write_last(ctx: Context, node: Node, y: View, out: View) -> None:
    """Write the last hidden state of each direction; it is a step of `y`."""
    for d in range(y.dims[0]):
        backward = node.attrs["backward"] >> d & 1
        step = y.part(0, d, 1).part(1, 0 if backward else y.dims[1] - 1, 1)
        kept = (0, 2, 3)
        source = replace(
            step,
            dims=tuple(step.dims[k] for k in kept),
            strides=tuple(step.strides[k] for k in kept),
        )
        ctx.copy(source, _by_direction(out, node).part(0, d, 1))
