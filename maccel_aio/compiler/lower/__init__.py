"""Lowers one NPU bundle: nodes of the graph to instructions over planned memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from maccel_aio.compiler.layout import channels_last
from maccel_aio.compiler.lower import (
    attention,
    conv,
    image,
    linear,
    lookup,
    moves,
    pointwise,
    recurrent,
    rows,
)
from maccel_aio.compiler.lower.bands import cut_into_bands
from maccel_aio.compiler.lower.context import Context
from maccel_aio.compiler.planner import plan
from maccel_aio.compiler.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from maccel_aio.compiler.ir import Array, Graph, Node
    from maccel_aio.compiler.lower.emit import Emitter

    Rule = Callable[[Context, Node], None]

__all__ = ["VIEW_OPS", "Lowered", "lower_bundle"]

_BINARY = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow")
_RULES: dict[str, Rule] = {
    "Conv": conv.conv,
    "ConvTranspose": conv.conv_transpose,
    "Linear": linear.linear,
    "MaxPool": image.pool,
    "AveragePool": image.pool,
    "Resize": image.resize,
    "Activation": pointwise.activation,
    **dict.fromkeys(_BINARY, pointwise.binary),
    "MatMul": rows.matmul,
    "Attention": attention.attention,
    "Softmax": rows.softmax,
    "LayerNorm": rows.layer_norm,
    "Reduce": rows.reduce,
    "Lookup": lookup.lookup,
    "Cast": lookup.cast,
    "Recurrent": recurrent.recurrent,
    "Transpose": moves.transpose,
    "Reshape": moves.reshape,
    "Expand": moves.expand,
    "Slice": moves.slice_,
    "Split": moves.split,
    "Concat": moves.concat,
    "Pad": moves.pad,
    "DepthToSpace": moves.depth_to_space,
    "SpaceToDepth": moves.space_to_depth,
}

VIEW_OPS = frozenset({"Transpose", "Reshape", "Expand", "Slice", "Split"})
"""Operators that usually become no instruction."""

_NOT_PLACED = VIEW_OPS | {"Concat"}
_FEW_CHANNELS = 4
_COPY_HOSTS = frozenset({"Conv", "ConvTranspose", "Linear"})


@dataclass(frozen=True)
class Lowered:
    """A bundle as instructions.

    Attributes:
        emitter: instructions, constants and placed buffers.
        arena_bytes: device memory of one inference.
        input_perms: per input, physical dimension k is ONNX dimension ``perm[k]``.
        output_perms: the same for outputs.
    """

    emitter: Emitter
    arena_bytes: int
    input_perms: tuple[tuple[int, ...], ...]
    output_perms: tuple[tuple[int, ...], ...]


def lower_bundle(
    graph: Graph,
    nodes: Sequence[Node],
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    layers: Mapping[int, int],
    tables: Mapping[str, Array] | None = None,
    l2_bytes: int = 0,
) -> Lowered:
    """Return the instructions of some nodes of `graph`.

    Args:
        graph: the graph, quantised or float.
        nodes: of this bundle, in topological order.
        inputs: tensors that come from outside.
        outputs: tensors that are wanted outside.
        layers: ``id(node)`` -> row of the layer table.
        tables: u8 [C][256] look-up tables of inputs that take raw pixels.
        l2_bytes: chains whose images are larger than this run band by band; 0 for no bands.
    """
    ctx = Context(graph, nodes, inputs, outputs)
    _place_concatenations(ctx)
    _find_copies(ctx)
    perms_in = tuple(_lower_input(ctx, name, (tables or {}).get(name)) for name in inputs)
    for node in nodes:
        ctx.emitter.layer = layers.get(id(node), 0)
        _fill_border(ctx, node)
        _RULES[node.op](ctx, node)
    perms_out = tuple(_lower_output(ctx, name) for name in outputs)
    ctx.emitter.merge_in_place()
    cut_into_bands(ctx.emitter, l2_bytes)
    arena = plan(ctx.emitter.buffers)
    return Lowered(ctx.emitter, arena, perms_in, perms_out)


def _lower_input(ctx: Context, name: str, table: Array | None) -> tuple[int, ...]:
    view = _bordered_input(ctx, name) or ctx.target(name)
    ctx.views[name] = view
    order = ctx.orders[name]
    ctx.emitter.input(_physical(view, order), table)
    return order


def _physical(view: View, order: Sequence[int]) -> View:
    """Return a view in memory order; a scalar as one element."""
    if not view.dims:
        return View(view.buffer, (1,), (view.item,), view.dtype, view.scale, view.zero, view.offset)
    return view.permute(order)


def _bordered_input(ctx: Context, name: str) -> View | None:
    """Return an input inside a border for its first convolution, None where that is no use.

    Convolutions with few channels have fast forms without padding only.
    """
    dims = ctx.graph.tensors[name].dims
    if len(dims) != 4 or ctx.orders[name] != channels_last(4) or dims[1] > _FEW_CHANNELS:
        return None
    readers = [n for n in ctx.readers.get(name, ()) if n.op == "Conv" and n.inputs[0] == name]
    if not readers or readers[0].quant is None or not any(readers[0].attrs["pads"]):
        return None
    top, left, bottom, right = pads = readers[0].attrs["pads"]
    padded = (dims[0], dims[1], dims[2] + top + bottom, dims[3] + left + right)
    outer = ctx.fresh(padded, ctx.quant(name), channels_last(4))
    ctx.bordered[name] = (outer, pads)
    return outer.slice((0, 0, top, left), dims, (1, 1, 1, 1))


def _fill_border(ctx: Context, node: Node) -> None:
    """Write the zero point around a bordered input before its first convolution."""
    found = ctx.bordered.get(node.inputs[0]) if node.op == "Conv" else None
    if found is None or node.inputs[0] in ctx.done or node.attrs["pads"] != found[1]:
        return
    ctx.done.add(node.inputs[0])
    outer, (top, left, bottom, right) = found
    height, width = outer.dims[2], outer.dims[3]
    middle = outer.part(2, top, height - top - bottom)
    edges = (
        outer.part(2, 0, top),
        outer.part(2, height - bottom, bottom),
        middle.part(3, 0, left),
        middle.part(3, width - right, right),
    )
    for edge in edges:
        if min(edge.dims) > 0:
            ctx.fill(edge, 0.0)


def _lower_output(ctx: Context, name: str) -> tuple[int, ...]:
    view = ctx.view(name)
    perm = ctx.orders[name] if len(ctx.orders.get(name, ())) == len(view.dims) else view.order()
    repeated = any(s == 0 and n > 1 for s, n in zip(view.strides, view.dims, strict=True))
    if repeated:
        view = ctx.copied(view, view.quant, perm)
    ctx.emitter.output(_physical(view, perm))
    return perm


def _place_concatenations(ctx: Context) -> None:
    """Plan inputs of Concat as slices of its output where formats and layouts agree."""
    makers = {out: node for node in ctx.nodes for out in node.outputs}
    for node in reversed(ctx.nodes):
        if node.op != "Concat":
            continue
        start, axis = 0, node.attrs["axis"]
        for name in node.inputs:
            if _placeable(ctx, node, name, makers):
                ctx.placements[name] = (node.output, axis, start)
            start += ctx.graph.tensors[name].dims[axis]


def _placeable(ctx: Context, node: Node, name: str, makers: Mapping[str, Node]) -> bool:
    maker = makers.get(name)
    if maker is None or name in ctx.placements or node.inputs.count(name) != 1:
        return False
    if maker.op in _NOT_PLACED - {"Concat"}:
        return False
    if maker.op == "Linear" and node.attrs["axis"] != len(ctx.graph.tensors[name].dims) - 1:
        return False
    same_format = ctx.quant(name) == ctx.quant(node.output)
    return same_format and ctx.orders[name] == ctx.orders[node.output]


def _find_copies(ctx: Context) -> None:
    """Find conversions that the producing convolution can write as its second output."""
    makers = {out: node for node in ctx.nodes for out in node.outputs}
    for node in ctx.nodes:
        if node.op != "Activation" or node.act is None or node.act.kind != "none":
            continue
        maker = makers.get(node.inputs[0])
        if maker is None or maker.op not in _COPY_HOSTS or node.inputs[0] in ctx.copies:
            continue
        ctx.copies[node.inputs[0]] = node
