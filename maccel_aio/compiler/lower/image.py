"""Pools and Resize: POOL and RESIZE instructions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from maccel_aio.compiler.isa import Op
from maccel_aio.compiler.layout import resize_order
from maccel_aio.compiler.lower.context import as_image
from maccel_aio.compiler.lower.conv import Window
from maccel_aio.compiler.lower.emit import epilogue

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Activation, Node
    from maccel_aio.compiler.lower.context import Context
    from maccel_aio.compiler.view import View

_MAX, _VALID, _PADDED = 0, 1, 2
_CODES_OF_A_SUM = {"u8": 1 << 8, "s8": 1 << 8, "s16": 1 << 16}


def pool(ctx: Context, node: Node) -> None:
    """Lower MaxPool and AveragePool."""
    window = Window(
        node.attrs["kernel"], node.attrs["strides"], node.attrs["pads"], node.attrs["dilations"]
    )
    x = ctx.image(ctx.view(node.inputs[0]))
    target = ctx.write(node.output)
    if node.op == "AveragePool":
        kind = _PADDED if node.attrs["include_pad"] else _VALID
        average(ctx, x, as_image(target), window, kind=kind, act=node.act)
        return
    out = target
    if not x.stored_as(target.quant):
        out = ctx.fresh(target.dims, x.quant, ctx.orders[node.output])
    ints = {**window.ints(), 10: _MAX}
    ctx.emitter.emit(Op.POOL, [x], [as_image(out)], ints=ints)
    if out is not target:
        ctx.copy(out, target)


def average(
    ctx: Context,
    x: View,
    out: View,
    window: Window | None,
    *,
    kind: int = _VALID,
    act: Activation | None = None,
) -> None:
    """Emit an average pool between [n, h, w, c] views; without a window over the whole image."""
    window = window or Window((x.dims[1], x.dims[2]))
    taps = window.kernel[0] * window.kernel[1]
    if not x.is_float and taps >= (1 << 31) // _CODES_OF_A_SUM[x.dtype]:
        x = ctx.as_float(x)
    tail = epilogue(out, act)
    ctx.emitter.emit(
        Op.POOL,
        [x],
        [out],
        ints={**window.ints(), **tail.ints, 10: kind},
        floats={**tail.floats, 2: x.scale * tail.unit},
        consts=tail.consts,
    )


def resize(ctx: Context, node: Node) -> None:
    """Lower Resize between views ordered n, h, w, c."""
    order = resize_order(node)
    view, target = ctx.view(node.inputs[0]), ctx.write(node.output)
    x, out = _channels(ctx, view, order), target.permute(order)
    nearest = node.attrs["mode"] == "nearest"
    direct = _adjacent(out) and not (nearest and not x.stored_as(out.quant))
    if not direct:
        out = ctx.fresh(target.dims, x.quant if nearest else target.quant, order).permute(order)
    tail = epilogue(out, None)
    consts = {0: node.attrs["tables"][0], 2: node.attrs["tables"][1]}
    floats = {}
    if not nearest:
        consts |= {1: node.attrs["weights"][0], 3: node.attrs["weights"][1]}
        floats = {**tail.floats, 4: x.scale * tail.unit}
    ctx.emitter.emit(
        Op.RESIZE,
        [x],
        [out],
        ints={**tail.ints, 10: 0 if nearest else 1},
        floats=floats,
        consts=consts,
    )
    if not direct:
        back = [order.index(d) for d in range(4)]
        ctx.copy(out.permute(back), target)


def _adjacent(image: View) -> bool:
    return image.dims[3] == 1 or image.strides[3] == image.item


def _channels(ctx: Context, view: View, order: tuple[int, ...]) -> View:
    image = view.permute(order)
    if _adjacent(image):
        return replace(image)
    return ctx.copied(view, view.quant, order).permute(order)
