"""Operators that move elements: most only rename views, some copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Node
    from maccel_aio.compiler.lower.context import Context


def transpose(ctx: Context, node: Node) -> None:
    """Lower Transpose: the dimensions change their names."""
    ctx.bind(node.output, ctx.view(node.inputs[0]).permute(node.attrs["perm"]))


def reshape(ctx: Context, node: Node) -> None:
    """Lower Reshape: free where the elements lie in row-major order."""
    view = ctx.view(node.inputs[0])
    ctx.bind(node.output, ctx.reshaped(view, ctx.graph.tensors[node.output].dims))


def expand(ctx: Context, node: Node) -> None:
    """Lower Expand: stride 0; an output of the program is written out."""
    view = ctx.view(node.inputs[0]).expand(ctx.graph.tensors[node.output].dims)
    if node.output in ctx.outputs:
        ctx.copy(view, ctx.write(node.output))
    else:
        ctx.bind(node.output, view)


def slice_(ctx: Context, node: Node) -> None:
    """Lower Slice: another start and stride."""
    view = ctx.view(node.inputs[0])
    part = view.slice(node.attrs["starts"], node.attrs["sizes"], node.attrs["steps"])
    ctx.bind(node.output, ctx.reshaped(part, ctx.graph.tensors[node.output].dims))


def split(ctx: Context, node: Node) -> None:
    """Lower Split: one slice per output."""
    view, axis = ctx.view(node.inputs[0]), node.attrs["axis"]
    for name, start in zip(node.outputs, node.attrs["offsets"], strict=True):
        if name:
            ctx.bind(name, view.part(axis, start, ctx.graph.tensors[name].dims[axis]))


def concat(ctx: Context, node: Node) -> None:
    """Lower Concat: inputs that were not written in place are copied into their slices."""
    out, axis, start = ctx.write(node.output), node.attrs["axis"], 0
    for name in node.inputs:
        size = ctx.graph.tensors[name].dims[axis]
        placed = ctx.placements.get(name)
        if placed is None or placed != (node.output, axis, start):
            part = out.part(axis, start, size)
            value = ctx.graph.const(name)
            if value is None:
                ctx.copy(ctx.views[name], part)
            else:
                ctx.write_const(np.asarray(value, np.float32), part)
        start += size


def pad(ctx: Context, node: Node) -> None:
    """Lower Pad: everything is filled, then the middle is written."""
    view, out = ctx.view(node.inputs[0]), ctx.write(node.output)
    rank = len(view.dims)
    ctx.fill(out, node.attrs["value"])
    inner = out.slice(node.attrs["pads"][:rank], view.dims, [1] * rank)
    ctx.copy(view, inner)


def depth_to_space(ctx: Context, node: Node) -> None:
    """Lower DepthToSpace: one copy between views of six dimensions."""
    view, out = ctx.view(node.inputs[0]), ctx.write(node.output)
    n, c, h, w = view.dims
    b = node.attrs["blocksize"]
    rest = c // (b * b)
    if node.attrs["mode"] == "DCR":
        parts = ctx.reshaped(view, (n, b, b, rest, h, w)).permute((0, 3, 4, 1, 5, 2))
    else:
        parts = ctx.reshaped(view, (n, rest, b, b, h, w)).permute((0, 1, 4, 2, 5, 3))
    target = out.reshape((n, rest, h, b, w, b))
    assert target is not None  # splitting dimensions never needs a copy
    ctx.copy(parts, target)


def space_to_depth(ctx: Context, node: Node) -> None:
    """Lower SpaceToDepth: one copy between views of six dimensions."""
    view, out = ctx.view(node.inputs[0]), ctx.write(node.output)
    n, c, h, w = view.dims
    b = node.attrs["blocksize"]
    parts = ctx.reshaped(view, (n, c, h // b, b, w // b, b)).permute((0, 3, 5, 1, 2, 4))
    target = out.reshape((n, b, b, c, h // b, w // b))
    assert target is not None  # splitting dimensions never needs a copy
    ctx.copy(parts, target)
