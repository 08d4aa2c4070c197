"""Values where they enter and leave a model: their types, and what segments make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maccel_aio._core import _shapes
from maccel_aio._core._arrays import LARGE_BYTES, as_ids, cast, from_onnx, is_foreign, needs_cast
from maccel_aio.errors import InvalidError, ShapeError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maccel_aio._core._base_model import Prepared
    from maccel_aio._core._types import TensorSpec
    from maccel_aio._typing import Array

_FLOAT = "float32"
_IDS = ("int32", "int64")
_TEXT = "OUST"
_NUMBERS = "biuf"


def dtypes(specs: Sequence[TensorSpec]) -> tuple[str, ...]:
    """Return the element types of inputs; nothing when all are float32, as most models have it."""
    names = tuple(spec.dtype for spec in specs)
    return () if all(name == _FLOAT for name in names) else names


def convert(arrays: list[Array], wanted: tuple[str, ...] = ()) -> list[Array]:
    """Return arrays that the model can read; copies those whose dtype the device cannot.

    Args:
        arrays: the inputs of a call.
        wanted: from ``dtypes``. Integers become what the device can read; other types stay as they
            are: segments convert them.

    Raises:
        InvalidError: if an array cannot become what its input takes.
    """
    if not wanted:
        return [cast(array) if needs_cast(array) else array for array in arrays]
    wanted = _pad(wanted, len(arrays))
    return [_enter(array, dtype) for array, dtype in zip(arrays, wanted, strict=True)]


def _pad(wanted: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Return as many types as there are arrays: the call is refused for their number later."""
    return (*wanted, *(_FLOAT for _ in range(count)))[:count]


def _enter(array: Array, dtype: str) -> Array:
    if dtype == _FLOAT:
        return cast(array) if needs_cast(array) else array
    allowed = {"object": _TEXT, "complex64": "biufc", "complex128": "biufc"}.get(dtype, _NUMBERS)
    foreign = allowed is not _TEXT and is_foreign(array.dtype)
    if array.dtype.kind not in allowed and not foreign:
        raise InvalidError(f"an array of dtype {array.dtype} cannot be an input of {dtype}")
    return as_ids(array, np.dtype(dtype)) if dtype in _IDS else array


def converts_large(arrays: Sequence[Array], wanted: tuple[str, ...] = ()) -> bool:
    """Return whether converting is too much work for an event loop."""
    return any(
        array.nbytes > LARGE_BYTES and dtype == _FLOAT and needs_cast(array)
        for array, dtype in zip(arrays, _pad(wanted, len(arrays)), strict=True)
    )


def check_staged(prepared: Prepared) -> None:
    """Check what only models of several segments do not allow, and their ``out``.

    Raises:
        ShapeError: if ``out`` does not fit.
        InvalidError: if an array of it is read-only.
        UnsupportedError: if the inputs are int8.
    """
    for spec, array in zip(prepared.loaded.variant.inputs, prepared.arrays, strict=True):
        if array.dtype == np.int8 and spec.dtype == _FLOAT:
            raise UnsupportedError("quantised inputs need a model without CPU segments")
    if prepared.out is None:
        return
    specs = prepared.loaded.variant.outputs
    if len(prepared.out) != len(specs):
        raise ShapeError(f"out must hold {len(specs)} arrays, got {len(prepared.out)}")
    for spec, array in zip(specs, prepared.out, strict=True):
        shape = _shapes.output_shape(spec, prepared.match)
        if not _shapes.fits(shape, array.shape) or array.dtype != spec.dtype:
            raise ShapeError(
                f"out for {spec.name!r} must be {spec.dtype} {shape}, "
                f"got {array.dtype} {array.shape}"
            )
        if not array.flags.writeable:
            raise InvalidError(f"out for {spec.name!r} is read-only")


def finish_outputs(prepared: Prepared, values: dict[str, Array]) -> list[Array]:
    """Return the outputs of a model with several segments, in user order and of their dtypes.

    Args:
        prepared: the call.
        values: all values, each (items, *ONNX shape).

    Raises:
        ShapeError: if the caller's ``out`` does not fit.
    """
    made: list[Array] = []
    given = {spec.name for spec in prepared.loaded.variant.inputs}
    for spec in prepared.loaded.variant.outputs:
        whole = values[spec.name]
        if len(whole) != prepared.match.items:  # all items share it
            whole = np.broadcast_to(whole, (prepared.match.items, *whole.shape[1:]))
        value = from_onnx(spec, prepared.match, whole)
        own = np.array if spec.name in given else np.asarray  # never the caller's memory
        made.append(own(value, dtype=spec.dtype))
    if prepared.out is None:
        return made
    for array, value in zip(prepared.out, made, strict=True):
        if array.shape != value.shape:
            raise ShapeError(f"out has shape {array.shape}, the output turned out {value.shape}")
        array[...] = value
    return prepared.out
