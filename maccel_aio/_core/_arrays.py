"""From a caller's arrays to native io records, without touching an element.

A *plan* is everything about a call that only depends on the shapes, strides and dtypes of its
arrays. It is worked out once and then found by key, so the usual call costs a dictionary look-up.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from maccel_aio._core import _binding, _shapes
from maccel_aio.errors import InvalidError, ModelFormatError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from maccel_aio._core._types import TensorSpec
    from maccel_aio._typing import Array, DType

#: Arrays of more bytes are converted in a worker thread.
LARGE_BYTES = 1 << 18
_PLANS_KEPT = 256

_F32 = np.dtype(np.float32)
_S8 = np.dtype(np.int8)
_U8 = np.dtype(np.uint8)
_QUANTISED = ("uint8", "int8")
_IO_DTYPES = {_F32: _binding.F32, _U8: _binding.U8, _S8: _binding.S8}
_ID_DTYPES = {np.dtype(np.int32): _binding.S32, np.dtype(np.int64): _binding.S64}
#: What the device can read: integers beyond 8 bits only where the model has them.
_CODES = _IO_DTYPES | _ID_DTYPES


class Wire(NamedTuple):
    """One device tensor of a program and the value that it carries."""

    spec: TensorSpec
    perm: tuple[int, ...]
    #: Dims and element type of the device tensor.
    dims: tuple[int, ...]
    device_dtype: str


class Result(NamedTuple):
    """How one output array is made."""

    #: Shape and dtype to allocate.
    shape: tuple[int, ...]
    dtype: DType
    #: Whether the array's memory is one block in order.
    contiguous: bool
    #: Turns the allocated array into the caller's shape; None when it has it.
    view: Callable[[Array], Array] | None


class Plan(NamedTuple):
    """How one form of call is carried out."""

    match: _shapes.Match
    #: Native io records, inputs then outputs, without addresses.
    records: bytes
    num_io: int
    #: Whether each input is one block in order.
    contiguous: tuple[bool, ...]
    results: tuple[Result, ...]
    #: Per input: None, or how to copy it, because no strides describe it in device order.
    copies: tuple[Callable[[Array], Array] | None, ...]
    needs_copy: bool
    #: Whether a result is shown to the caller through a view.
    needs_view: bool
    #: The segment that it is a call of, "" for a whole model.
    part: str = ""

    def show(self, outputs: list[Array]) -> list[Array]:
        """Return the outputs as the caller wants to see them."""
        return [
            array if result.view is None else result.view(array)
            for array, result in zip(outputs, self.results, strict=True)
        ]

    def copy(self, arrays: list[Array]) -> list[Array]:
        """Return the inputs as the device can read them: copies where strides do not suffice."""
        return [
            array if copy is None else copy(array)
            for array, copy in zip(arrays, self.copies, strict=True)
        ]


class Planner:
    """Finds or makes the plan of a call. Any thread: it only reads and writes dictionaries.

    Args:
        inputs: device tensors of the inputs, in order.
        outputs: device tensors of the outputs, in order.
        part: the segment that it is for, "" for a whole model.

    Raises:
        ModelFormatError: if a device tensor cannot hold its value.
    """

    def __init__(self, inputs: Sequence[Wire], outputs: Sequence[Wire], part: str = "") -> None:
        self.part = part
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self._specs = [wire.spec for wire in inputs]
        self._plans: dict[object, Plan] = {}
        for wire in (*inputs, *outputs):
            if math.prod(wire.dims) != math.prod(wire.spec.shape):
                raise ModelFormatError(
                    f"the device tensor {list(wire.dims)} cannot hold {wire.spec.name!r} "
                    f"of shape {list(wire.spec.shape)}"
                )

    def plan(self, arrays: Sequence[Array], out: Sequence[Array] | None) -> Plan | None:
        """Return the plan for these arrays, or None when the inputs do not fit.

        Raises:
            ShapeError: if ``out`` does not fit.
        """
        key = _form(arrays) if out is None else (_form(arrays), _form(out))
        plan = self._plans.get(key)
        if plan is None:
            found = _shapes.match(self._specs, [array.shape for array in arrays])
            if found is None:
                return None
            plan = self.make(found, arrays, out)
            if len(self._plans) >= _PLANS_KEPT:
                self._plans.clear()
            self._plans[key] = plan
        return plan

    def make(
        self, found: _shapes.Match, arrays: Sequence[Array], out: Sequence[Array] | None
    ) -> Plan:
        """Work out the plan of a call that fits as ``found`` says."""
        records: list[bytes] = []
        copies: list[Callable[[Array], Array] | None] = []
        for wire, array in zip(self.inputs, arrays, strict=True):
            record, copy = _input(wire, found, array)
            records.append(record)
            copies.append(copy)
        quantised = all(array.dtype == _S8 for array in arrays)
        if out is not None and len(out) != len(self.outputs):
            raise ShapeError(f"out must hold {len(self.outputs)} arrays, got {len(out)}")
        results: list[Result] = []
        for index, wire in enumerate(self.outputs):
            record, result = _output(wire, found, quantised, None if out is None else out[index])
            records.append(record)
            results.append(result)
        return Plan(
            match=found,
            records=b"".join(records),
            num_io=len(records),
            contiguous=tuple(array.flags.c_contiguous for array in arrays),
            results=tuple(results),
            copies=tuple(copies),
            needs_copy=any(copy is not None for copy in copies),
            needs_view=any(result.view is not None for result in results),
            part=self.part,
        )


def _form(arrays: Sequence[Array]) -> tuple[object, ...]:
    if len(arrays) == 1:
        array = arrays[0]
        return array.shape, array.strides, array.dtype
    return tuple((array.shape, array.strides, array.dtype) for array in arrays)


def to_onnx(spec: TensorSpec, found: _shapes.Match, array: Array, leads: bool) -> Array:
    """Return a view of a user-order array as (items, *ONNX shape).

    Args:
        spec: the input or output.
        found: how the call fits.
        array: in user order.
        leads: whether it has a dimension over the items.
    """
    items = array if leads else array[np.newaxis]
    if spec.batch_axis == 0:
        items = items[:, np.newaxis]
    axes = _shapes.image_axes(spec, found.hwc)
    return items if axes is None else items.transpose(0, 1, *(2 + axis for axis in axes))


def from_onnx(spec: TensorSpec, found: _shapes.Match, array: Array) -> Array:
    """Return an output (items, *ONNX shape) as a view in user order: undoes ``to_onnx``."""
    axes = _shapes.image_axes(spec, found.hwc)
    items = array if axes is None else array.transpose(0, 1, *(2 + axes.index(i) for i in range(3)))
    if spec.batch_axis == 0:
        items = items[:, 0]
    return items if _shapes.output_leads(spec, found) else items[0]


def input_leads(spec: TensorSpec, found: _shapes.Match) -> bool:
    """Return whether an input of a call has a dimension over the items."""
    return found.batched and spec.batch_axis == 0


def pack(wire: Wire, view: Array) -> bytes | None:
    """Describe a view (items, *ONNX shape) to the device; None when strides cannot."""
    placed = _shapes.place(view.shape[1:], view.strides[1:], wire.perm, wire.dims)
    if placed is None:
        return None
    step = view.strides[0] if view.shape[0] > 1 else 0
    return _binding.pack_io(_CODES[view.dtype], step, placed)


def pack_flat(array: Array) -> bytes:
    """Describe an array (items, *device dims) to the device."""
    return _binding.pack_io(_CODES[array.dtype], array.strides[0], array.strides[1:])


def gather(wire: Wire, view: Array) -> Array:
    """Copy a view (items, *ONNX shape) into (items, *device dims)."""
    moved = view.transpose(0, *(axis + 1 for axis in wire.perm))
    return np.ascontiguousarray(moved).reshape(view.shape[0], *wire.dims)


def scatter(wire: Wire, array: Array) -> Array:
    """Return (items, *device dims) as a view (items, *ONNX shape): undoes ``gather``."""
    permuted = (wire.spec.shape[axis] for axis in wire.perm)
    back = (wire.perm.index(axis) + 1 for axis in range(len(wire.perm)))
    return array.reshape(array.shape[0], *permuted).transpose(0, *back)


def _input(
    wire: Wire, found: _shapes.Match, array: Array
) -> tuple[bytes, Callable[[Array], Array] | None]:
    leads = input_leads(wire.spec, found)
    record = pack(wire, to_onnx(wire.spec, found, array, leads))
    if record is not None:
        return record, None

    def copy(array: Array) -> Array:
        return gather(wire, to_onnx(wire.spec, found, array, leads))

    return pack_flat(copy(array)), copy


def _output(
    wire: Wire, found: _shapes.Match, quantised: bool, given: Array | None
) -> tuple[bytes, Result]:
    spec = wire.spec
    shape = _shapes.output_shape(spec, found)
    dtype = _S8 if quantised and wire.device_dtype in _QUANTISED else _F32
    if given is not None and (given.shape != shape or given.dtype != dtype):
        raise ShapeError(
            f"out for {spec.name!r} must be {dtype} {shape}, got {given.dtype} {given.shape}"
        )
    sample = np.empty(shape, dtype) if given is None else given
    record = pack(wire, to_onnx(spec, found, sample, _shapes.output_leads(spec, found)))
    if record is not None:
        return record, Result(shape, dtype, sample.flags.c_contiguous, None)
    if given is not None:
        raise ShapeError(f"out for {spec.name!r} would need a copy in this layout: leave it out")
    flat = (found.items, *wire.dims)

    def view(array: Array) -> Array:
        return from_onnx(spec, found, scatter(wire, array))

    return pack_flat(np.empty(flat, dtype)), Result(flat, dtype, True, view)


def needs_cast(array: Array) -> bool:
    """Return whether an array must be converted before the device can read it.

    Raises:
        InvalidError: if its dtype cannot be converted to float32.
    """
    if array.dtype in _IO_DTYPES:
        return not array.flags.aligned
    if array.dtype.kind not in "biuf" and not is_foreign(array.dtype):
        raise InvalidError(f"an array of dtype {array.dtype} cannot be an input")
    return True


def as_ids(array: Array, dtype: DType) -> Array:
    """Return integers as the device reads them: ``array`` itself where it can be read in place.

    Args:
        array: numbers of any type.
        dtype: int32 or int64, what the model has.
    """
    readable = array.dtype in _ID_DTYPES and array.flags.aligned
    return array if readable else array.astype(dtype, order="C", copy=True)


def is_foreign(dtype: DType) -> bool:
    """Return whether a package gave numpy this number type: bfloat16, floats of 8 bits."""
    return dtype.isbuiltin == 2 and dtype.kind != "O"


def cast(array: Array) -> Array:
    """Return an aligned copy that the device can read: float32 unless the dtype is native."""
    dtype = array.dtype if array.dtype in _IO_DTYPES else _F32
    return array.astype(dtype, order="C", copy=True)


def as_arrays(x: Any) -> list[Array]:  # noqa: ANN401 - anything that numpy understands
    """Return the inputs of a call as a list of arrays. Lists and tuples hold one array each."""
    if isinstance(x, np.ndarray):
        return [x]
    if isinstance(x, list | tuple):
        return [item if isinstance(item, np.ndarray) else np.asarray(item) for item in x]
    return [np.asarray(x)]


def align(values: list[Array], items: int) -> list[Array]:
    """Let values that all items share follow the others: a stride of zero over the items."""
    return [
        value if len(value) == items else np.broadcast_to(value, (items, *value.shape[1:]))
        for value in values
    ]
