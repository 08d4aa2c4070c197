"""Calls with tensors that have a place: acquired for a model, and inferred where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from maccel_aio.compat._shared import convert, shapes
from maccel_aio.compat._shared.cached_runner import CachedRunner
from maccel_aio.compat._shared.npu_data import RawNPUData
from maccel_aio.compat._shared.plan import Layout, find_items
from maccel_aio.compat._shared.status import StatusCode
from maccel_aio.errors import MaccelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maccel_aio._typing import Array, DType
    from maccel_aio.compat._shared.raw_model import RawModel
    from maccel_aio.compat._shared.runner import Runner
    from maccel_aio.compat._shared.tensor import Tensor
    from maccel_aio.compat._shared.variant import Variant

_FLOAT = np.dtype(np.float32)
#: What a tensor may hold, by the integers of the face.
_TYPES: dict[int, DType] = {0: _FLOAT, 2: np.dtype(np.int8), 3: np.dtype(np.uint8)}


def acquire(
    model: RawModel[Any],
    tensors: Sequence[Tensor],
    shape: Sequence[int],
    index: object,
    upload: bool,
    type_number: int | None,
) -> RawNPUData:
    """Return memory for an input or output.

    Args:
        model: whose.
        tensors: its inputs, or its outputs.
        shape: HWC or CHW, with a dimension over the items or without.
        index: which of them.
        upload: whether it is on the model's accelerator, or on the host.
        type_number: the face's number of the element type; None for what clients bring or get.

    Raises:
        TypeError: if the index is no integer.
        VendorError: ``Model_ShapeMismatched``, ``Model_DtypeMismatched``, or, to upload,
            ``Model_NotLaunched``.
    """
    at = convert.int32(index)
    if not 0 <= at < len(tensors):
        why = f"there is no tensor {at}: the model has {len(tensors)}"
        raise model.error.of(StatusCode.Model_ShapeMismatched, why, model.path)
    tensor, own = tensors[at], tuple(shape)
    if shapes.find_layouts([own], [tensor.shape]) is None or 0 in own:
        why = f"{tensor.spec.name!r} has the shape {tensor.shape}, not {own}"
        raise model.error.of(StatusCode.Model_ShapeMismatched, why, model.path)
    made = RawNPUData(own, _element_type(model, tensor, type_number), model.error)
    if upload:
        _launch(model, made)
    return made


def _element_type(model: RawModel[Any], tensor: Tensor, number: int | None) -> DType:
    if number is None:
        return _TYPES[3] if tensor.takes_pixels else _FLOAT
    dtype = _TYPES.get(number)
    if dtype is None or not tensor.takes(dtype):
        why = f"{tensor.spec.name!r} cannot be {'of this type' if dtype is None else dtype}"
        raise model.error.of(StatusCode.Model_DtypeMismatched, why, model.path)
    return dtype


def _launch(model: RawModel[Any], data: RawNPUData) -> None:
    try:
        data.launch(model.running().accelerator)
    except MaccelError as problem:
        raise model.error.wrap(problem) from problem


def infer(
    model: RawModel[Any],
    inputs: Sequence[RawNPUData],
    outputs: Sequence[RawNPUData] | None,
    hwc: bool,
    cache_size: object,
) -> list[RawNPUData]:
    """Carry out a call, and return its outputs.

    Args:
        model: launched.
        inputs: all on the host, or all on the model's accelerator.
        outputs: where to write, in the same place; None for new ones.
        hwc: the order that all have.
        cache_size: tokens in the KV cache.

    Raises:
        VendorError: if something does not fit, or as the status says.
    """
    size = model.check_cache(cache_size, None)
    runner = model.running()
    on_host = _place(model, runner, [*inputs, *(outputs or ())])
    arrays = [one.array() for one in inputs]
    try:
        index, layouts = shapes.find_variant([one.shape for one in arrays], runner.shapes)
        layout = find_items(arrays, layouts.choose(hwc))
    except (ValueError, MaccelError):
        why = f"no variant has such inputs: {[one.shape for one in arrays]}"
        raise model.error.of(StatusCode.Model_ShapeMismatched, why, model.path) from None
    variant = runner.variants[index]
    if isinstance(runner, CachedRunner):
        return _infer_tokens(model, runner, (arrays, outputs), hwc, size, on_host)
    given = outputs
    if given is None:
        given = [_new(model, layout.shape(one), on_host) for one in variant.outputs]
    targets = _targets(model, variant, given, layout)
    model.infer_into(runner, index, [*arrays, *targets], layout)
    return list(given)


def _place(model: RawModel[Any], runner: Runner, every: Sequence[RawNPUData]) -> bool:
    """Return whether all are on the host; they are on the model's accelerator otherwise."""
    sides = {one.is_on_host for one in every}
    if len(sides) != 1:
        why = "inputs and outputs need one place: all on the host, or all on the accelerator"
        raise model.error.of(StatusCode.Driver_WrongBaseAddress, why, model.path)
    for one in every:
        home = one.accelerator
        if home is not None and home.inner.name != runner.accelerator.inner.name:
            why = f"the data is on {home.inner.name}, the model on {runner.accelerator.inner.name}"
            raise model.error.of(StatusCode.Driver_WrongBaseAddress, why, model.path)
    return sides.pop()


def _new(model: RawModel[Any], shape: tuple[int, ...], on_host: bool) -> RawNPUData:
    made = RawNPUData(shape, _FLOAT, model.error)
    if not on_host:
        _launch(model, made)
    return made


def _targets(
    model: RawModel[Any], variant: Variant, outputs: Sequence[RawNPUData], layout: Layout
) -> list[Array]:
    """Return the arrays of outputs; a single item may have its dimension or not."""
    shapes_ = [layout.shape(one) for one in variant.outputs]
    single = [layout._replace(batched=not layout.batched).shape(one) for one in variant.outputs]
    for one, shape, other in zip(outputs, shapes_, single, strict=False):
        if one.shape != shape and not (layout.items == 1 and one.shape == other):
            why = f"an output has the shape {shape}, not {one.shape}"
            raise model.error.of(StatusCode.Model_ShapeMismatched, why, model.path)
    arrays = [one.array() for one in outputs]
    return [one.reshape(shape) for one, shape in zip(arrays, shapes_, strict=False)]


def _infer_tokens(
    model: RawModel[Any],
    runner: CachedRunner,
    data: tuple[list[Array], Sequence[RawNPUData] | None],
    hwc: bool,
    size: int,
    on_host: bool,
) -> list[RawNPUData]:
    arrays, outputs = data
    made = model.infer_tokens(runner, arrays, None, size, hwc) or []
    given = outputs
    if given is None:
        given = [_new(model, one.shape, on_host) for one in made]
    if [one.shape for one in given] != [one.shape for one in made]:
        why = f"the outputs have the shapes {[one.shape for one in made]}"
        raise model.error.of(StatusCode.Model_ShapeMismatched, why, model.path)
    for target, source in zip(given, made, strict=True):
        target.array()[...] = source
    return list(given)
