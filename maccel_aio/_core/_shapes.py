"""Which layout and batch a caller's arrays have, and where their elements lie: pure arithmetic.

Three orders of dimensions meet here. *User order* is what the caller passes: an image is HWC or
CHW, with or without a leading batch. *ONNX order* is the manifest's shape. *Physical order* is the
device tensor's. No element is ever touched: everything is done on shapes and strides.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maccel_aio._core._types import TensorSpec

Dims = tuple[int, ...]


class Match(NamedTuple):
    """How the arrays of one call fit the inputs of a model."""

    #: True for HWC, False for CHW, None when no input is an image.
    hwc: bool | None
    #: Number of items, at least 1.
    items: int
    #: Whether the inputs had a batch dimension: then the outputs have one.
    batched: bool


def item_shape(spec: TensorSpec, hwc: bool | None) -> Dims:
    """Return the shape of one item in user order, without the batch dimension.

    Args:
        spec: the input or output.
        hwc: layout of the caller's images, None for ONNX order.
    """
    shape = spec.shape
    if spec.is_image and hwc is not None:
        lead, image = shape[:1], _onnx_to_user(spec, shape[1:], hwc)
        shape = lead + image
    return shape[1:] if spec.batch_axis == 0 else shape


def _onnx_to_user(spec: TensorSpec, image: Dims, hwc: bool) -> Dims:
    if hwc == (spec.layout == "NHWC"):
        return image
    first, second, third = image
    return (second, third, first) if hwc else (third, first, second)


def match(specs: Sequence[TensorSpec], shapes: Sequence[Dims]) -> Match | None:
    """Find the layout and batch of a call by the vendor's rule, or None when nothing fits.

    All images are HWC or all are CHW; HWC wins when both fit. Inputs whose ``batch_axis`` is 0 all
    have a batch dimension of one size, or none has.
    """
    if len(specs) != len(shapes):
        return None
    layouts = (True, False, None) if any(spec.is_image for spec in specs) else (None,)
    for hwc in layouts:  # in the order of the model itself, an array fits whatever it looks like
        found = _match_layout(specs, shapes, hwc)
        if found is not None:
            return found
    return None


def _match_layout(
    specs: Sequence[TensorSpec], shapes: Sequence[Dims], hwc: bool | None
) -> Match | None:
    batches: set[int | None] = set()
    for spec, shape in zip(specs, shapes, strict=True):
        item = item_shape(spec, hwc)
        if spec.batch_axis is None:
            if not fits(item, shape):
                return None
        elif fits(item, shape):
            batches.add(None)
        elif fits(item, shape[1:]) and len(shape) == len(item) + 1 and shape[0] > 0:
            batches.add(shape[0])
        else:
            return None
    if len(batches) > 1:
        return None
    items = batches.pop() if batches else None
    return Match(hwc, 1 if items is None else items, items is not None)


def fits(wanted: Dims, shape: Dims) -> bool:
    """Return whether a shape is what a model takes; -k stands for any multiple of k, also 0."""
    if wanted == shape:
        return True
    return len(wanted) == len(shape) and all(
        size == want if want >= 0 else size % want == 0
        for want, size in zip(wanted, shape, strict=True)
    )


def output_shape(spec: TensorSpec, found: Match) -> Dims:
    """Return the shape in which one output of a call comes back."""
    item = item_shape(spec, found.hwc)
    return (found.items, *item) if output_leads(spec, found) else item


def output_leads(spec: TensorSpec, found: Match) -> bool:
    """Return whether an output of a call has a dimension over the items."""
    return found.batched if spec.batch_axis == 0 else found.items > 1


def image_axes(spec: TensorSpec, hwc: bool | None) -> tuple[int, int, int] | None:
    """Return where the three image dimensions of ONNX order are in user order; None for as is."""
    if not spec.is_image or hwc is None or hwc == (spec.layout == "NHWC"):
        return None
    return (2, 0, 1) if hwc else (1, 2, 0)


def describe(specs: Sequence[TensorSpec]) -> str:
    """Return what a model expects, for people."""
    return "; ".join(f"{spec.name}: {_alternatives(spec)}" for spec in specs)


def _alternatives(spec: TensorSpec) -> str:
    layouts = (True, False) if spec.is_image else (None,)
    shapes = [item_shape(spec, hwc) for hwc in layouts]
    texts = [f"({', '.join(map(_size, shape))})" for shape in dict.fromkeys(shapes)]
    batch = ", each with or without a leading batch" if spec.batch_axis == 0 else ""
    return " or ".join(texts) + batch


def _size(dim: int) -> str:
    if dim >= 0:
        return str(dim)
    return "any" if dim == -1 else f"any multiple of {-dim}"


def place(shape: Dims, strides: Dims, perm: Dims, device: Dims) -> Dims | None:
    """Return the strides of the device tensor's dimensions over a host array.

    Args:
        shape: ONNX shape.
        strides: of the host array in ONNX order, bytes.
        perm: physical dimension k is ONNX dimension perm[k].
        device: dims of the device tensor: ``shape`` permuted, or its elements regrouped.

    Returns:
        One stride a device dimension, or None when no strides can say it: then a copy is needed.
    """
    dims = tuple(shape[axis] for axis in perm)
    moved = tuple(strides[axis] for axis in perm)
    return moved if dims == device else regroup(dims, moved, device)


def regroup(dims: Dims, strides: Dims, new: Dims) -> Dims | None:
    """Return the strides of a reshape in row-major order, or None when it needs a copy.

    Raises:
        ValueError: if the numbers of elements differ.
    """
    if math.prod(dims) != math.prod(new):
        raise ValueError(f"{dims} and {new} differ in their number of elements")
    runs = _runs(dims, strides)
    made: list[int] = []
    count, stride = 1, 0
    for dim in reversed(new):
        if dim == 1:
            made.append(0)
            continue
        if count == 1:
            count, stride = runs.pop()
        if count % dim:
            return None
        made.append(stride)
        count, stride = count // dim, stride * dim
    return tuple(reversed(made))


def _runs(dims: Dims, strides: Dims) -> list[tuple[int, int]]:
    """Merge neighbouring dimensions that lie evenly: (elements, innermost stride), outer first."""
    runs: list[tuple[int, int]] = []
    for dim, stride in zip(dims, strides, strict=True):
        if dim == 1:
            continue
        if runs and runs[-1][1] == dim * stride:
            runs[-1] = (runs[-1][0] * dim, stride)
        else:
            runs.append((dim, stride))
    return runs
