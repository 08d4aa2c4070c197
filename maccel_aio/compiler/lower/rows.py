"""MatMul and operators over rows: SOFTMAX, REDUCE, LAYERNORM instructions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from maccel_aio.compiler.isa import Op
from maccel_aio.compiler.lower.emit import collapse, epilogue
from maccel_aio.compiler.lower.image import average

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Activation, Array, Node
    from maccel_aio.compiler.lower.context import Context
    from maccel_aio.compiler.view import View

_REDUCTIONS = {"sum": 0, "mean": 1, "max": 2, "min": 3}


def matmul(ctx: Context, node: Node) -> None:
    """Lower MatMul of two tensors in float."""
    a, b = (ctx.as_float(ctx.view(name)) for name in node.inputs)
    emit_product(ctx, a, b, ctx.write(node.output), node.act)


def emit_product(ctx: Context, a: View, b: View, out: View, act: Activation | None) -> None:
    """Emit MATMUL of views whose leading dimensions broadcast to those of `out`."""
    lead = out.dims[:-2]
    tail = epilogue(out, act, fold=False)
    ctx.emitter.emit(
        Op.MATMUL,
        [a.expand((*lead, *a.dims[-2:])), b.expand((*lead, *b.dims[-2:]))],
        [out],
        ints=tail.ints,
        floats=tail.floats,
        consts=tail.consts,
    )


def softmax(ctx: Context, node: Node) -> None:
    """Lower Softmax and LogSoftmax: the axis becomes the last dimension."""
    view, out = ctx.view(node.inputs[0]), ctx.write(node.output)
    axis = node.attrs["axis"]
    target = out
    if node.attrs["flat"]:
        dims = (math.prod(view.dims[:axis]), math.prod(view.dims[axis:]))
        view = ctx.reshaped(view, dims)
        reshaped = out.reshape(dims)
        target = ctx.fresh(dims, out.quant) if reshaped is None else reshaped
        axis = 1
    views = [view, target]
    if len(node.inputs) > 1:
        views.insert(1, ctx.as_float(ctx.view(node.inputs[1])).expand(out.dims))
    emit_softmax(ctx, views, axis, node.attrs["scale"], log=node.attrs["log"])
    if target.buffer is not out.buffer:
        ctx.copy(ctx.reshaped(target, out.dims), out)


def emit_softmax(
    ctx: Context, views: list[View], axis: int, scale: float, *, log: bool = False
) -> None:
    """Emit SOFTMAX of the first view times `scale`; of three the second is a mask."""
    floats = {4: views[0].scale * scale}
    _emit_rows(ctx, Op.SOFTMAX, _axis_last(views, axis), {10: int(log)}, floats, {})


def layer_norm(ctx: Context, node: Node) -> None:
    """Lower LayerNorm."""
    view, out = ctx.view(node.inputs[0]), ctx.write(node.output)
    views = _axis_last([view, out], len(out.dims) - 1)
    pairs = ((0, node.attrs["scale"]), (1, node.attrs["bias"]))
    consts = {slot: value for slot, value in pairs if value is not None}
    _emit_rows(
        ctx,
        Op.LAYERNORM,
        views,
        {10: int(node.attrs["rms"])},
        {5: node.attrs["epsilon"]},
        consts,
    )


def _axis_last(views: list[View], axis: int) -> list[View]:
    order = [d for d in views[-1].order() if d != axis] + [axis]
    return collapse([view.permute(order) for view in views], keep_last=True)


def _emit_rows(
    ctx: Context,
    op: Op,
    views: list[View],
    ints: dict[int, int],
    floats: dict[int, float],
    consts: dict[int, Array],
) -> None:
    *sources, out = views
    tail = epilogue(out, None, fold=False)
    ctx.emitter.emit(
        op,
        sources,
        [out],
        ints={**tail.ints, **ints},
        floats={**tail.floats, 4: sources[0].scale, **floats},
        consts=consts,
    )


def reduce(ctx: Context, node: Node) -> None:
    """Lower Reduce; the mean of an image over its pixels is an average pool."""
    view, out = ctx.view(node.inputs[0]), ctx.write(node.output)
    axes = node.attrs["axes"]
    kept = tuple(1 if d in axes else n for d, n in enumerate(view.dims))
    wide = out.reshape(kept)
    target = ctx.fresh(kept, out.quant) if wide is None else wide
    if node.attrs["kind"] == "mean" and axes == (2, 3) and len(view.dims) == 4:
        average(ctx, ctx.image(view), target.permute((0, 2, 3, 1)), None)
    else:
        _emit_reduce(ctx, node, view, target)
    if wide is None:
        ctx.copy(ctx.reshaped(target, out.dims), out)


def _emit_reduce(ctx: Context, node: Node, view: View, target: View) -> None:
    axes = node.attrs["axes"]
    order = view.order()
    count = math.prod(view.dims[d] for d in axes)
    tail = epilogue(target, None, fold=False)
    mask = sum(1 << k for k, d in enumerate(order) if d in axes)
    ctx.emitter.emit(
        Op.REDUCE,
        [view.permute(order)],
        [target.permute(order)],
        ints={**tail.ints, 10: _REDUCTIONS[node.attrs["kind"]], 14: mask},
        floats={**tail.floats, 4: view.scale, 2: 1.0 / count},
    )
