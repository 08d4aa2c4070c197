"""Activation and the binary operators: MAP and ELTWISE instructions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import Activation
from maccel_aio.compiler.isa import Elt, Op
from maccel_aio.compiler.lower.emit import by_memory, code_range, epilogue
from maccel_aio.compiler.pointwise import evaluate
from maccel_aio.compiler.view import View

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from maccel_aio.compiler.ir import Array, Node
    from maccel_aio.compiler.lower.context import Context

_KINDS = {
    "Add": Elt.ADD,
    "Sub": Elt.SUB,
    "Mul": Elt.MUL,
    "Div": Elt.DIV,
    "Max": Elt.MAX,
    "Min": Elt.MIN,
    "Pow": Elt.POW,
}
_FUNCTIONS: dict[str, Callable[[NDArray[np.float64], float], NDArray[np.float64]]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Max": np.maximum,
    "Min": np.minimum,
    "Pow": np.power,
}
_COMMUTES = frozenset({"Add", "Mul", "Max", "Min"})


def activation(ctx: Context, node: Node) -> None:
    """Lower Activation: a table between 8-bit tensors, else a conversion with the function."""
    if node.output in ctx.done:
        return
    view, act = ctx.view(node.inputs[0]), node.act
    out = ctx.write(node.output)
    table_fits = view.dtype == "u8" and out.dtype == "u8"
    if act is None or not table_fits or act.kind in ("none", "prelu"):
        ctx.copy(view, out, act)
        return
    views = by_memory([view, out])
    table = activation_table(view, out, act)
    ctx.emitter.emit(Op.MAP, views[:1], views[1:], consts={3: table})


def activation_table(view: View, out: View, act: Activation) -> NDArray[np.uint8]:
    """Return u8 [256]: the output code for every input code."""
    codes = np.arange(256, dtype=np.float64)
    return _codes(evaluate(act, (codes - view.zero) * view.scale), out, act)


def _codes(real: NDArray[np.float64], out: View, act: Activation) -> NDArray[np.uint8]:
    """Return the codes that `out` has for real numbers."""
    low, high = code_range(out, act)
    scaled = np.nan_to_num(np.rint(real / out.scale), nan=0.0, posinf=1e9, neginf=-1e9)
    table: NDArray[np.uint8] = np.clip(scaled + out.zero, low, high).astype(np.uint8)
    return table


def binary(ctx: Context, node: Node) -> None:
    """Lower Add, Sub, Mul, Div, Max, Min and Pow."""
    first, second = node.inputs
    constants = [ctx.graph.const(first), ctx.graph.const(second)]
    if constants[0] is not None and node.op in _COMMUTES:
        first, second, constants = second, first, constants[::-1]
    if constants[0] is None and constants[1] is not None:
        _with_constant(ctx, node, first, np.asarray(constants[1], np.float32))
        return
    a, b = ctx.view(first), ctx.view(second)
    out = ctx.write(node.output)
    views = by_memory([a.expand(out.dims), b.expand(out.dims), out])
    _emit(ctx, node, views[:2], views[2], {}, b.scale)


def _keeps_codes(ctx: Context, node: Node, view: View, value: Array) -> bool:
    """Whether the result has the codes of the operand, in another format (see `renumber`)."""
    quant = ctx.quant(node.output)
    if value.size != 1 or not view.dtype == quant.dtype == "u8" or node.act is not None:
        return False
    if view.dims != ctx.graph.tensor(node.output).dims or node.output in ctx.placements:
        return False
    out = replace(view, scale=quant.scale, zero=quant.zero)
    table = binary_table(node, view, out, float(value.ravel()[0]))
    return np.array_equal(table, np.arange(256))


def _with_constant(ctx: Context, node: Node, first: str, value: Array) -> None:
    view = ctx.view(first)
    if _keeps_codes(ctx, node, view, value):
        quant = ctx.quant(node.output)
        ctx.bind(node.output, replace(view, scale=quant.scale, zero=quant.zero))
        return
    out = ctx.write(node.output)
    if value.size == 1 and view.dtype == out.dtype == "u8" and view.dims == out.dims:
        views = by_memory([view, out])
        table = binary_table(node, view, out, float(value.ravel()[0]))
        ctx.emitter.emit(Op.MAP, views[:1], views[1:], consts={3: table})
        return
    shadow = _shadow(value, out)
    source, like, target = by_memory([view.expand(out.dims), shadow, out])
    # Read in the memory order of the output, the constant has size 1 where its stride is 0.
    dims = [1 if s == 0 else n for n, s in zip(like.dims, like.strides, strict=True)]
    order = out.order()
    full = value.reshape((1,) * (len(out.dims) - value.ndim) + value.shape)
    constant = full.transpose(order).reshape(dims)
    _emit(ctx, node, [source], target, {5: constant}, 1.0)


def binary_table(node: Node, view: View, out: View, value: float) -> NDArray[np.uint8]:
    """Return u8 [256]: the output code for every input code, the other operand being `value`."""
    real = (np.arange(256, dtype=np.float64) - view.zero) * view.scale
    with np.errstate(all="ignore"):
        found = _FUNCTIONS[node.op](real, value)
    act = node.act or Activation("none")
    return _codes(evaluate(act, found), out, act)


def _shadow(value: Array, out: View) -> View:
    """Return a view with the strides of a constant laid out in the memory order of `out`."""
    full = (1,) * (len(out.dims) - value.ndim) + value.shape
    strides = [0] * len(full)
    step = 4
    for d in reversed(out.order()):
        if full[d] != 1:
            strides[d] = step
            step *= full[d]
    return View(out.buffer, out.dims, tuple(strides), "f32")


def _emit(
    ctx: Context,
    node: Node,
    inputs: list[View],
    out: View,
    consts: dict[int, Array],
    scale: float,
) -> None:
    tail = epilogue(out, node.act, fold=node.op != "Pow")
    first, second = inputs[0].scale, scale
    if node.op in ("Add", "Sub", "Max", "Min"):
        first, second = first * tail.unit, second * tail.unit
    else:
        first *= tail.unit
    ctx.emitter.emit(
        Op.ELTWISE,
        inputs,
        [out],
        ints={10: _KINDS[node.op], **tail.ints},
        floats={**tail.floats, 4: first, 5: second},
        consts={**tail.consts, **consts},
    )
