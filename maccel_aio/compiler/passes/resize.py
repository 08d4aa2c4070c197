"""Resize and Upsample as tables: for each output row (column) two source rows and a weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.passes.rules import Unsupported, const_input, opset, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from maccel_aio.compiler.ir import Graph, Node

    Floats = NDArray[np.float64]

_NEAREST: dict[str, Callable[[Floats], Floats]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def source_positions(mode: str, out: int, size: int, scale: float) -> Floats:
    """Return where each of `out` outputs lies in a source of `size` elements.

    Raises:
        Unsupported: the coordinate mode needs a region of interest.
    """
    x = np.arange(out, dtype=np.float32)
    s = np.float32(scale)
    half = np.float32(0.5)
    if mode == "asymmetric":
        found = x / s
    elif mode == "align_corners":
        found = x * np.float32(size - 1) / np.float32(out - 1) if out > 1 else x * 0
    elif mode == "half_pixel" or (mode == "pytorch_half_pixel" and out > 1):
        found = (x + half) / s - half
    elif mode == "pytorch_half_pixel":
        found = x * 0
    elif mode == "tf_half_pixel_for_nn":
        found = (x + half) / s
    elif mode == "half_pixel_symmetric":
        adjust = np.float32(out) / (s * np.float32(size))
        centre = np.float32(size) / 2
        found = centre * (1 - adjust) + (x + half) / s - half
    else:
        raise Unsupported(f"coordinate mode {mode}")
    return found.astype(np.float64)


def nearest_table(mode: str, positions: Floats, size: int) -> NDArray[np.int32]:
    """Return int32 [out, 2]: the nearest source, twice."""
    index = np.clip(_NEAREST[mode](positions), 0, size - 1).astype(np.int32)
    return np.stack([index, index], axis=1)


def linear_table(positions: Floats, size: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return int32 [out, 2] sources and float32 [out] weights of the second."""
    clipped = np.clip(positions, 0, size - 1)
    first = np.floor(clipped).astype(np.int32)
    second = np.minimum(first + 1, size - 1)
    weight = np.where(second == first, 0.0, clipped - first).astype(np.float32)
    return np.stack([first, second], axis=1), weight


def resize(graph: Graph, node: Node) -> Node:
    """Return the canonical form: attrs mode, axes, and per axis a table and weights."""
    before, after = shape_of(graph, node.inputs[0]), shape_of(graph, node.output)
    _check(node)
    axes = [d for d in range(len(before)) if before[d] != after[d]]
    if len(before) != 4 or not (set(axes) <= {2, 3} or set(axes) <= {1, 2}):
        raise Unsupported("resizes other dimensions than height and width")
    used = (2, 3) if set(axes) <= {2, 3} else (1, 2)
    mode = str(node.attrs.get("mode", "nearest"))
    if mode not in ("nearest", "linear", "bilinear"):
        raise Unsupported(f"mode {mode}")
    scales = _scales(graph, node, before, after)
    tables = [_table(graph, node, mode, before[d], after[d], scales[d]) for d in used]
    node.attrs = {
        "mode": "nearest" if mode == "nearest" else "linear",
        "axes": used,
        "tables": tuple(index for index, _ in tables),
        "weights": tuple(weight for _, weight in tables),
    }
    node.op, node.inputs = "Resize", node.inputs[:1]
    return node


def _check(node: Node) -> None:
    if node.attrs.get("antialias", 0):
        raise Unsupported("antialiasing")
    if node.attrs.get("axes") is not None:
        raise Unsupported("a choice of axes")
    if node.attrs.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unsupported("a kept aspect ratio")


def _scales(
    graph: Graph, node: Node, before: tuple[int, ...], after: tuple[int, ...]
) -> list[float]:
    given = node.attrs.get("scales")
    if given is None:
        where = 1 if len(node.inputs) < 3 and opset(graph) < 11 else 2
        given = const_input(graph, node, where, "the scale")
    if given is None or len(given) != len(before):
        return [a / b for a, b in zip(after, before, strict=True)]
    return [float(s) for s in given]


def _table(
    graph: Graph, node: Node, mode: str, size: int, out: int, scale: float
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    old = node.op == "Upsample" or opset(graph) < 11
    default = "asymmetric" if old else "half_pixel"
    coordinates = str(node.attrs.get("coordinate_transformation_mode", default))
    positions = source_positions(coordinates, out, size, scale)
    if mode != "nearest":
        return linear_table(positions, size)
    rounding = str(node.attrs.get("nearest_mode", "round_prefer_floor"))
    if old:
        rounding = "ceil" if scale < 1 else "floor"
    return nearest_table(rounding, positions, size), np.zeros(out, np.float32)
