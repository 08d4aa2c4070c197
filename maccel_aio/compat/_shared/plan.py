"""How one form of classic call is carried out by a variant that is one NPU program."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from maccel_aio._core._arrays import Plan, Planner, Result, gather, pack, pack_flat, scatter
from maccel_aio._core._shapes import Match
from maccel_aio.errors import ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from maccel_aio._core._arrays import Wire
    from maccel_aio._typing import Array, DType
    from maccel_aio.compat._shared.tensor import Tensor


class Layout(NamedTuple):
    """In which order the dimensions of a call are, and how many items it has."""

    hwc: bool
    items: int
    #: Whether there is a dimension over the items.
    batched: bool

    def shape(self, tensor: Tensor) -> tuple[int, ...]:
        """Return the shape that a tensor has in this layout."""
        first, second, third = tensor.shape
        own = (first, second, third) if self.hwc else (third, first, second)
        return (self.items, *own) if self.batched else own

    def view(self, tensor: Tensor, array: Array) -> Array:
        """Return (items, *ONNX shape) of a client's array; one that all items share is repeated."""
        view = tensor.view(array, self.hwc)
        if len(view) == self.items:
            return view
        return np.broadcast_to(view, (self.items, *view.shape[1:]))


def find_items(arrays: Sequence[Array], hwc: bool) -> Layout:
    """Return the layout of a call.

    Args:
        arrays: of three dimensions, or four with the items in front.
        hwc: the order.

    Raises:
        ShapeError: if they have no items, or different numbers of them.
    """
    counts = {len(array) for array in arrays if array.ndim == 4}
    if not counts:
        return Layout(hwc, 1, False)
    if len(counts) > 1 or 0 in counts:
        raise ShapeError(f"the inputs have {sorted(counts)} items: all need the same, at least 1")
    return Layout(hwc, counts.pop(), True)


def make_plan(
    planner: Planner,
    tensors: tuple[Sequence[Tensor], Sequence[Tensor]],
    arrays: tuple[Sequence[Array], Sequence[Array]],
    layout: Layout,
) -> Plan:
    """Describe a call to the device.

    Args:
        planner: of the variant.
        tensors: its inputs and outputs.
        arrays: the inputs, as the device can read them, and arrays like those for the outputs.
        layout: of all of them.
    """
    ins = [
        _input(wire, tensor, array, layout)
        for wire, tensor, array in zip(planner.inputs, tensors[0], arrays[0], strict=True)
    ]
    outs = [
        _output(wire, tensor, array, layout)
        for wire, tensor, array in zip(planner.outputs, tensors[1], arrays[1], strict=True)
    ]
    return Plan(
        match=Match(layout.hwc, layout.items, layout.batched),
        records=b"".join(record for record, _ in (*ins, *outs)),
        num_io=len(ins) + len(outs),
        contiguous=tuple(array.flags.c_contiguous for array in arrays[0]),
        results=tuple(result for _, result in outs),
        copies=tuple(copy for _, copy in ins),
        needs_copy=any(copy is not None for _, copy in ins),
        needs_view=any(result.view is not None for _, result in outs),
    )


def _input(
    wire: Wire, tensor: Tensor, array: Array, layout: Layout
) -> tuple[bytes, Callable[[Array], Array] | None]:
    record = pack(wire, layout.view(tensor, array))
    if record is not None:
        return record, None
    copy = functools.partial(_gather, wire, tensor, layout)
    return pack_flat(copy(array)), copy


def _gather(wire: Wire, tensor: Tensor, layout: Layout, array: Array) -> Array:
    return gather(wire, layout.view(tensor, array))


def _output(wire: Wire, tensor: Tensor, array: Array, layout: Layout) -> tuple[bytes, Result]:
    record = pack(wire, layout.view(tensor, array))
    if record is not None:
        return record, Result(array.shape, array.dtype, array.flags.c_contiguous, None)
    flat = (layout.items, *wire.dims)
    show = functools.partial(_show, wire, tensor, layout)
    return pack_flat(np.empty(flat, array.dtype)), Result(flat, array.dtype, True, show)


def _show(wire: Wire, tensor: Tensor, layout: Layout, flat: Array) -> Array:
    return from_onnx(tensor, layout, scatter(wire, flat))


def from_onnx(tensor: Tensor, layout: Layout, value: Array, dtype: DType | None = None) -> Array:
    """Return a new array of a client's form with the elements of (items, *ONNX shape)."""
    made = np.empty(layout.shape(tensor), dtype or value.dtype)
    tensor.view(made, layout.hwc)[...] = value
    return made
