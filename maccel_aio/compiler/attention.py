"""The fused operators of transformers, ONNX operator set 23, as products, sums and Softmax."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto

from maccel_aio.compiler.expand import expand_nodes
from maccel_aio.compiler.onnxgraph import attributes

if TYPE_CHECKING:
    import onnx

    from maccel_aio.compiler.expand import Infer, Parts

_MASKED = -1e30
"""Added to scores that do not count: their exponential is zero, and no sum becomes infinite."""

_MASK, _PAST_KEY, _PAST_VALUE, _LENGTHS = 3, 4, 5, 6


def expand_transformers(model: onnx.ModelProto, infer: Infer) -> onnx.ModelProto:
    """Return `model` with Attention and RotaryEmbedding as operators that the NPU has.

    Args:
        model: with inferred shapes.
        infer: returns a model with inferred shapes.
    """
    model = expand_nodes(model, "RotaryEmbedding", _rotary, infer)
    return expand_nodes(model, "Attention", _attention, infer)


def _operand(node: onnx.NodeProto, index: int) -> str:
    return node.input[index] if index < len(node.input) else ""


@dataclass(frozen=True)
class _Heads:
    """Sizes of one attention.

    Attributes:
        groups: heads of the query for each head of keys and values.
        rows: positions of the query.
        past: positions before the first key.
        total: positions of keys and values, the past included.
    """

    batch: int
    heads: int
    groups: int
    rows: int
    past: int
    total: int
    depth: int


def _attention(p: Parts, node: onnx.NodeProto) -> bool:
    """Add the nodes of Attention.

    With several query heads to a head of keys the query has 5 dimensions, and keys and values
    repeat without being copied.
    """
    attrs, wanted = attributes(node), [name for name in node.output if name]
    given = [name for name in node.input if name]
    plain = len(node.output) <= 3 or not node.output[3]
    if not (p.known(*given) and plain and not _operand(node, _LENGTHS)):
        return False
    if any(p.types.get(name, TensorProto.FLOAT) != TensorProto.FLOAT for name in node.input[:3]):
        return False
    if attrs.get("left_window_size", -1) >= 0 or attrs.get("right_window_size", -1) >= 0:
        return False
    flat = len(p.shapes[node.input[0]]) == 3
    q, k, v = (
        _by_head(p, name, int(attrs.get(key, 0)) if flat else 0)
        for name, key in zip(
            node.input[:3], ("q_num_heads", "kv_num_heads", "kv_num_heads"), strict=True
        )
    )
    k, v = (_with_past(p, node, x, index) for x, index in ((k, 0), (v, 1)))
    sizes = _sizes(p, node, q, k)
    mask = _mask(p, node, sizes, causal=bool(attrs.get("is_causal", 0)))
    if mask is None or not wanted:
        return False
    mixed = _mixed(p, (q, k, v), mask, sizes, attrs)
    if p.types.get(_operand(node, _MASK)) == TensorProto.BOOL:
        mixed = p.node("Mul", mixed, _seeing(p, mask))
    shape = (sizes.batch, sizes.heads * sizes.groups, sizes.rows, p.shapes[v][-1])
    if not flat:
        p.reshape(mixed, shape, node.output[0])
        return True
    joined = p.transpose(p.reshape(mixed, shape), (0, 2, 1, 3))
    p.reshape(joined, (shape[0], shape[2], shape[1] * shape[3]), node.output[0])
    return True


def _by_head(p: Parts, name: str, heads: int) -> str:
    """Return a tensor as [batch, heads, rows, depth]."""
    if not heads:
        return name
    batch, rows, width = p.shapes[name]
    return p.transpose(p.reshape(name, (batch, rows, heads, width // heads)), (0, 2, 1, 3))


def _with_past(p: Parts, node: onnx.NodeProto, name: str, index: int) -> str:
    """Return keys (0) or values (1) behind those of before; that is an output, too."""
    past = _operand(node, _PAST_KEY + index)
    out = node.output[1 + index] if len(node.output) > 1 + index else ""
    batch, heads, rows, depth = p.shapes[name]
    if not past:
        return p.reshape(name, p.shapes[name], out) if out else name
    made = p.node("Concat", past, name, out=out, axis=2)
    p.shapes[made] = (batch, heads, p.shapes[past][2] + rows, depth)
    return made


def _sizes(p: Parts, node: onnx.NodeProto, q: str, k: str) -> _Heads:
    batch, query_heads, rows, depth = p.shapes[q]
    heads, total = p.shapes[k][1:3]
    past = _operand(node, _PAST_KEY)
    before = p.shapes[past][2] if past else 0
    return _Heads(batch, heads, query_heads // heads, rows, before, total, depth)


def _mask(p: Parts, node: onnx.NodeProto, sizes: _Heads, *, causal: bool) -> str | None:
    """Return what is added to the scores, "" for nothing; None if there is no form of it."""
    name, found = _operand(node, _MASK), ""
    if name:
        shape = p.shapes[name]
        if shape[-1] != sizes.total or len(shape) < 2:
            return None  # keys beyond a narrower mask do not count
        full = (1,) * (4 - len(shape)) + shape
        heads = (1, 1) if full[1] == 1 else (sizes.heads, sizes.groups)
        if p.types.get(name) == TensorProto.BOOL:
            numbers = p.const(0.0, np.float32), p.const(_MASKED, np.float32)
            name = p.node("Where", name, *numbers)
        found = p.reshape(name, (full[0], *heads, *full[2:]))
    if not causal:
        return found
    seen = np.arange(sizes.total)[None, :] <= np.arange(sizes.rows)[:, None] + sizes.past
    steps = p.const(np.where(seen, 0.0, _MASKED), np.float32)
    return p.node("Add", found, steps) if found else steps


def _seeing(p: Parts, mask: str) -> str:
    """Return 1 for rows that see a key and 0 for those that see none: their result is zero."""
    best = p.node("ReduceMax", mask, p.const([-1], np.int64), keepdims=1)
    return p.node("Exp", best)


def _mixed(
    p: Parts, tensors: tuple[str, str, str], mask: str, sizes: _Heads, attrs: dict[str, Any]
) -> str:
    """Return the values by the scores' shares, [batch, heads, groups, rows, depth]."""
    s = sizes
    q = p.reshape(tensors[0], (s.batch, s.heads, s.groups, s.rows, s.depth))
    k, v = (
        p.reshape(name, (s.batch, s.heads, 1, s.total, p.shapes[name][-1])) for name in tensors[1:]
    )
    scale = float(attrs.get("scale", 0.0)) or 1.0 / math.sqrt(s.depth)
    scores = p.node("MatMul", q, p.transpose(k, (0, 1, 2, 4, 3)))
    scores = p.node("Mul", scores, p.const(scale, np.float32))
    cap = float(attrs.get("softcap", 0.0))
    if cap > 0.0:
        inner = p.node("Tanh", p.node("Mul", scores, p.const(1.0 / cap, np.float32)))
        scores = p.node("Mul", inner, p.const(cap, np.float32))
    if mask:
        scores = p.node("Add", scores, mask)
    return p.node("MatMul", p.node("Softmax", scores, axis=-1), v)


def _rotary(p: Parts, node: onnx.NodeProto) -> bool:
    """Add the nodes of RotaryEmbedding: pairs of channels are turned by the angle of their row."""
    attrs, x = attributes(node), node.input[0]
    if not p.known(x, *(name for name in node.input[1:] if name)):
        return False
    shape, flat = p.shapes[x], len(p.shapes[x]) == 3
    heads = int(attrs.get("num_heads", 0))
    if flat and not heads:
        return False
    batch, rows = (shape[0], shape[1]) if flat else (shape[0], shape[2])
    depth = shape[2] // heads if flat else shape[3]
    turned = int(attrs.get("rotary_embedding_dim", 0)) or depth
    wide = (batch, rows, heads, depth) if flat else shape
    full = p.reshape(x, wide)
    angles = (batch, rows, 1, turned // 2) if flat else (batch, 1, rows, turned // 2)
    places = _operand(node, 3)
    cos, sin = (
        p.reshape(p.node("Gather", name, places, axis=0) if places else name, angles)
        for name in node.input[1:3]
    )
    result = _turned(p, full, (cos, sin), turned, pairs=bool(attrs.get("interleaved", 0)))
    if turned < depth:
        result = p.node("Concat", result, _part(p, full, turned, depth), axis=-1)
    p.reshape(result, shape, node.output[0])
    return True


def _turned(p: Parts, x: str, angles: tuple[str, str], count: int, *, pairs: bool) -> str:
    """Return the first `count` channels of x turned; the halves of a pair are neighbours or not."""
    (cos, sin), half = angles, count // 2
    lead = p.shapes[x][:-1]
    if pairs:
        two = p.reshape(_part(p, x, 0, count), (*lead, half, 2))
        a, b = (p.reshape(_part(p, two, k, k + 1), (*lead, half)) for k in (0, 1))
    else:
        a, b = _part(p, x, 0, half), _part(p, x, half, count)
    real = p.node("Sub", p.node("Mul", a, cos), p.node("Mul", b, sin))
    imaginary = p.node("Add", p.node("Mul", a, sin), p.node("Mul", b, cos))
    if not pairs:
        return p.node("Concat", real, imaginary, axis=-1)
    columns = (p.reshape(half_pair, (*lead, half, 1)) for half_pair in (real, imaginary))
    return p.reshape(p.node("Concat", *columns, axis=-1), (*lead, count))


def _part(p: Parts, x: str, begin: int, end: int) -> str:
    """Return some of the last dimension's elements."""
    bounds = [p.const([value], np.int64) for value in (begin, end, -1)]
    made = p.node("Slice", x, *bounds)
    p.shapes[made] = (*p.shapes[x][:-1], end - begin)
    return made
