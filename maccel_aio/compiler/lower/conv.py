"""Conv, ConvTranspose and Linear: CONV, DWCONV and CONVF instructions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import FLOAT, CompileError
from maccel_aio.compiler.isa import Op
from maccel_aio.compiler.lower.context import as_image
from maccel_aio.compiler.lower.emit import code_range, epilogue, residual_flag
from maccel_aio.compiler.lower.phases import Phase, phases
from maccel_aio.compiler.weights import stored_float

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maccel_aio.compiler.ir import Activation, Array, FloatStorage, Node
    from maccel_aio.compiler.lower.context import Context
    from maccel_aio.compiler.view import View


_DENSE = 16
"""Groups of so many channels, in and out, are convolutions of their own."""


@dataclass(frozen=True)
class Window:
    """The sliding window of one instruction; pads are top, left, bottom, right."""

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)

    def ints(self) -> dict[int, int]:
        """Return integer slots 0 to 9."""
        values = (*self.kernel, *self.strides, *self.pads, *self.dilations)
        return dict(enumerate(values))


@dataclass(frozen=True)
class Sum:
    """What one convolution instruction sums up.

    Attributes:
        weights: [O, kh, kw, I/group], integers or float32.
        bias: real-valued for float sums, int32 without the zero-point term for integer ones.
        scale: float64 [O] of integer sums, None for float ones.
        storage: how float weights are kept.
        step: float64 [O], of float weights that are kept as so many times integers of 8 bits.
    """

    weights: Array
    bias: Array
    scale: Array | None
    group: int = 1
    storage: FloatStorage = "f32"
    step: Array | None = None

    def taps(self, rows: Sequence[int], columns: Sequence[int]) -> Sum:
        """Return the sum over some of the taps."""
        part = self.weights[:, list(rows)][:, :, list(columns)]
        return replace(self, weights=np.ascontiguousarray(part))


def sum_of(node: Node) -> Sum:
    """Return the weights of a node: integers if it is quantised, else float32."""
    group = int(node.attrs.get("group", 1))
    if node.quant is not None:
        return Sum(node.quant.weights, node.quant.bias, node.quant.scale, group)
    if node.weights is None:
        raise CompileError(f"node {node.name!r} has no weights")
    kernel = np.ascontiguousarray(node.weights.kernel.transpose(0, 2, 3, 1))
    return Sum(kernel, node.weights.bias, None, group, node.float_weights, node.weight_step)


@dataclass(frozen=True)
class Places:
    """Physical [n, h, w, c] views of one instruction."""

    x: View
    out: View
    residual: View | None = None
    second: View | None = None


def emit_conv(
    ctx: Context, places: Places, total: Sum, window: Window, act: Activation | None, after: bool
) -> None:
    """Emit one CONV, DWCONV or CONVF.

    Args:
        ctx: the bundle.
        places: input, output, residual, second output.
        total: weights.
        window: the sliding window.
        act: activation.
        after: the residual is added after the activation.
    """
    out, second, residual = places.out, places.second, places.residual
    keep = (residual is not None and after) or (second is not None and second.is_float)
    tail = epilogue(out, act, keep_clamp=keep, fold=total.scale is not None)
    depthwise = total.group == places.x.dims[3] == out.dims[3] and total.group > 1
    ints = {**window.ints(), 10: total.group, **tail.ints}
    floats = dict(tail.floats)
    consts = dict(tail.consts)
    if residual is not None:
        floats[2] = residual.scale * tail.unit
    if second is not None:
        ints[14], ints[15] = code_range(second, act, use_act=not keep)
        carried = out.scale if not out.is_float else 1.0
        floats[4] = carried / second.scale
    op = Op.CONVF
    if total.scale is None:
        consts |= _float_weights(total)
    else:
        op = Op.DWCONV if depthwise else Op.CONV
        weights = total.weights
        sums = weights.astype(np.int64).sum(axis=(1, 2, 3))
        bias = total.bias.astype(np.int64) - places.x.zero * sums
        consts[0] = (
            np.ascontiguousarray(weights[..., 0].transpose(1, 2, 0)) if depthwise else weights
        )
        consts[1] = np.clip(bias, -(2**31), 2**31 - 1).astype(np.int32)
        consts[2] = (total.scale * tail.unit).astype(np.float32)
    outputs = [out] if second is None else [out, second]
    ctx.emitter.emit(
        op,
        [places.x, residual],
        outputs,
        consts=consts,
        ints=ints,
        floats=floats,
        flags=residual_flag(after and residual is not None),
    )


def _float_weights(total: Sum) -> dict[int, Array]:
    """Return the constants of a float sum: weights, bias, and the scale of weights in codes."""
    bias = total.bias.astype(np.float32)
    if total.step is None:
        return {0: stored_float(total.weights, total.storage), 1: bias}
    codes = np.rint(total.weights / total.step[:, None, None, None]).astype(np.int8)
    return {0: codes, 1: bias, 2: total.step.astype(np.float32)}


def second_of(ctx: Context, node: Node) -> View | None:
    """Return where a second copy of the output goes, if a reader wants another format."""
    copy = ctx.copies.get(node.output)
    if copy is None:
        return None
    ctx.done.add(copy.output)
    return ctx.write(copy.output)


def input_of(ctx: Context, node: Node, total: Sum) -> View:
    """Return where the input lies; a float copy of it for float sums."""
    view = ctx.view(node.inputs[0])
    return view if total.scale is not None else ctx.as_float(view)


def _residual(ctx: Context, node: Node) -> View | None:
    return None if node.residual is None else ctx.image(ctx.view(node.residual.tensor))


def conv(ctx: Context, node: Node) -> None:
    """Lower Conv."""
    total = sum_of(node)
    window = Window(
        node.attrs["kernel"], node.attrs["strides"], node.attrs["pads"], node.attrs["dilations"]
    )
    border = ctx.bordered.get(node.inputs[0])
    if border is not None and border[1] == window.pads:
        source = border[0]
        window = replace(window, pads=(0, 0, 0, 0))
    else:
        source = input_of(ctx, node, total)
    x, residual, second = ctx.image(source), _residual(ctx, node), second_of(ctx, node)
    out = as_image(ctx.write(node.output))
    places = Places(x, out, residual, None if second is None else as_image(second))
    for part, where in _groups(total, places, node.act):
        emit_conv(ctx, where, part, window, node.act, is_after(node))


def _groups(total: Sum, places: Places, act: Activation | None) -> list[tuple[Sum, Places]]:
    """Return a convolution of its own per group where groups are large enough for dense kernels."""
    outputs, per_group = total.weights.shape[0], total.weights.shape[3]
    rows = outputs // total.group
    slopes = act is not None and act.slope is not None
    if total.group == 1 or total.scale is None or min(per_group, rows) < _DENSE or slopes:
        return [(total, places)]
    parts = []
    for g in range(total.group):
        own = slice(g * rows, (g + 1) * rows)
        part = Sum(total.weights[own], total.bias[own], total.scale[own])
        second, residual = (
            None if view is None else view.part(3, g * rows, rows)
            for view in (places.second, places.residual)
        )
        x, out = places.x.part(3, g * per_group, per_group), places.out.part(3, g * rows, rows)
        parts.append((part, Places(x, out, residual, second)))
    return parts


def is_after(node: Node) -> bool:
    """Whether the residual is added after the activation."""
    return node.residual is not None and node.residual.after_act


def conv_transpose(ctx: Context, node: Node) -> None:
    """Lower ConvTranspose: one ordinary convolution per phase of the output grid."""
    total = sum_of(node)
    x = ctx.image(input_of(ctx, node, total))
    residual, second = _residual(ctx, node), second_of(ctx, node)
    out = as_image(ctx.write(node.output))
    other = None if second is None else as_image(second)
    size_in, size_out = (x.dims[1], x.dims[2]), (out.dims[1], out.dims[2])
    rows, columns = (
        phases(
            size_in[d],
            size_out[d],
            node.attrs["kernel"][d],
            node.attrs["strides"][d],
            node.attrs["dilations"][d],
            node.attrs["pads"][d],
        )
        for d in range(2)
    )
    alone = residual is None and other is None
    if alone and _tiles(rows, columns, (x, out)) and _merges(node, total):
        _emit_blocks(ctx, node, total, Places(x, out), rows, columns)
        return
    for row in rows:
        for column in columns:
            _emit_phase(ctx, node, total, Places(x, out, residual, other), row, column)


def _tiles(rows: Sequence[Phase], columns: Sequence[Phase], images: tuple[View, View]) -> bool:
    """Whether every input pixel makes a block of outputs of its own, and these are all."""
    x, out = images
    each = all(
        len(phase.taps) == 1 and not (phase.start or phase.before or phase.after)
        for phase in (*rows, *columns)
    )
    whole = (x.dims[1] * len(rows), x.dims[2] * len(columns)) == (out.dims[1], out.dims[2])
    return each and whole


def _merges(node: Node, total: Sum) -> bool:
    """Whether one convolution for all phases is the faster way: each would fill few lanes."""
    shared = node.act is None or node.act.kind != "prelu"
    return shared and total.group == 1 and len(total.weights) < _DENSE


def _emit_blocks(
    ctx: Context,
    node: Node,
    total: Sum,
    places: Places,
    rows: Sequence[Phase],
    columns: Sequence[Phase],
) -> None:
    """Emit one 1x1 convolution that makes whole blocks as channels, and lay the blocks out."""
    x, out = places.x, places.out
    parts = [total.taps(row.taps, column.taps) for row in rows for column in columns]
    merged = Sum(
        np.concatenate([part.weights for part in parts]),
        np.tile(total.bias, len(parts)),
        None if total.scale is None else np.tile(total.scale, len(parts)),
        storage=total.storage,
        step=None if total.step is None else np.tile(total.step, len(parts)),
    )
    (n, h, w, _), channels = x.dims, out.dims[3]
    blocks = ctx.fresh((n, h, w, len(parts) * channels), ctx.quant(node.output))
    if node.act is None or node.act.kind in ("none", "clamp"):
        emit_conv(ctx, Places(x, blocks), merged, Window((1, 1)), node.act, after=False)
    else:  # of few channels at a time an activation is slow: over the whole blocks it is not
        sums = ctx.fresh(blocks.dims, FLOAT)
        emit_conv(ctx, Places(x, sums), merged, Window((1, 1)), None, after=False)
        ctx.copy(sums, blocks, node.act)
    dims = (n, h, len(rows), w, len(columns), channels)
    steps = blocks.strides
    inner = (len(columns) * channels * steps[3], channels * steps[3])
    source = replace(
        blocks, dims=dims, strides=(steps[0], steps[1], inner[0], steps[2], inner[1], steps[3])
    )
    at = out.strides
    laid = (at[0], at[1] * len(rows), at[1], at[2] * len(columns), at[2], at[3])
    ctx.copy(source, replace(out, dims=dims, strides=laid, pad_channels=False))


def _emit_phase(
    ctx: Context, node: Node, total: Sum, whole: Places, row: Phase, column: Phase
) -> None:
    if row.taps and column.taps:
        part = total.taps(row.taps, column.taps)
    else:
        # No tap meets these pixels: a zero weight leaves the bias.
        part = replace(total, weights=np.zeros_like(total.weights[:, :1, :1]))
        row, column = row.without_taps(whole.x.dims[1]), column.without_taps(whole.x.dims[2])
    window = Window(
        (part.weights.shape[1], part.weights.shape[2]),
        pads=(row.before, column.before, row.after, column.after),
        dilations=(row.dilation, column.dilation),
    )
    places = Places(
        _crop(whole.x, row, column),
        _grid(whole.out, row, column),
        None if whole.residual is None else _grid(whole.residual, row, column),
        None if whole.second is None else _grid(whole.second, row, column),
    )
    emit_conv(ctx, places, part, window, node.act, is_after(node))


def _crop(x: View, row: Phase, column: Phase) -> View:
    return x.slice(
        (0, row.start, column.start, 0), (x.dims[0], row.size, column.size, x.dims[3]), (1, 1, 1, 1)
    )


def _grid(out: View, row: Phase, column: Phase) -> View:
    return out.slice(
        (0, row.offset, column.offset, 0),
        (out.dims[0], row.count, column.count, out.dims[3]),
        (1, row.step, column.step, 1),
    )
