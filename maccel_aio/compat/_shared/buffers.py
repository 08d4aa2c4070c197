"""Memory in the NPU's own form: acquired, filled from arrays, read into arrays, released."""

from __future__ import annotations

import abc
import math
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from maccel_aio.compat._shared import convert, shapes
from maccel_aio.compat._shared.buffer import Buffer, RawBuffer
from maccel_aio.compat._shared.status import StatusCode
from maccel_aio.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maccel_aio._typing import Array
    from maccel_aio.compat._shared.errors import VendorError
    from maccel_aio.compat._shared.tensor import Tensor
    from maccel_aio.compat._shared.variant import Variant

_INT8 = np.dtype(np.int8)


class Length(NamedTuple):
    """How long the data of a call is."""

    items: int
    #: Of all sequences together, where the model takes any number of them.
    tokens: int


class AcquiredBuffer(RawBuffer):
    """The inner layer of a buffer with memory for a tensor: (items, height, width, channel).

    Args:
        tensor: what it is for.
        length: how many items, and tokens where it has any.
    """

    def __init__(self, tensor: Tensor, length: Length) -> None:
        super().__init__()
        self.tensor: Tensor | None = tensor
        self.array = np.zeros((length.items, *tensor.sized(length.tokens)), tensor.native_dtype)
        self.size = self.array.nbytes

    def release(self) -> bool:
        """Give the memory up; False if that was done before."""
        held, self.tensor, self.array, self.size = self.tensor, None, None, 0
        return held is not None


def contents(raw: Any, tensor: Tensor, error: type[VendorError]) -> Array:  # noqa: ANN401 - inner layer
    """Return what a buffer holds as (items, height, width, channel).

    Raises:
        VendorError: ``MemoryPool_BufNotFound`` if it holds nothing, ``Model_BufferSizeMismatched``
            if not whole items.
    """
    array: Array | None = raw.array
    if array is None:
        why = "the buffer holds nothing: it was released, or never filled"
        raise error.of(StatusCode.MemoryPool_BufNotFound, why)
    dtype = tensor.native_dtype
    item = math.prod(tensor.sized(1)) * dtype.itemsize
    count, rest = divmod(array.nbytes, item)
    if not count or rest:
        what = "an item" if tensor.tokens is None else "a token"
        why = f"{tensor.spec.name!r} has {item} bytes {what}, the buffer {array.nbytes}"
        raise error.of(StatusCode.Model_BufferSizeMismatched, why)
    return array.reshape(-1).view(dtype).reshape(-1, *tensor.sized(count))


class Buffered(abc.ABC):
    """The calls around buffers, of a variant; those of a model are those of its first."""

    _error: ClassVar[type[VendorError]]

    @abc.abstractmethod
    def _variant(self) -> Variant:
        """Return the variant."""

    def acquire_input_buffer(self, seqlens: list[list[int]] = []) -> list[Buffer]:  # noqa: B006 - never changed
        """Return one buffer for each input.

        Args:
            seqlens: for each input the lengths of its sequences: one an item; or, for a model
                that takes any number of tokens, how many there are. Default: one item; or the
                tokens of a step.

        Raises:
            VendorError: ``Model_ShapeMismatched`` if the model has no such lengths.
        """
        return self._acquire(self._variant().inputs, seqlens)

    def acquire_output_buffer(self, seqlens: list[list[int]] = []) -> list[Buffer]:  # noqa: B006 - never changed
        """Return one buffer for each output.

        Args:
            seqlens: as for ``acquire_input_buffer``.

        Raises:
            VendorError: ``Model_ShapeMismatched`` if the model has no such lengths.
        """
        return self._acquire(self._variant().outputs, seqlens)

    def release_buffer(self, buffer: list[Buffer]) -> None:
        """Give the memory of acquired buffers up.

        Raises:
            VendorError: ``MemoryPool_BufNotFound`` if one is not acquired, or was released.
        """
        released = [
            isinstance(one._buffer, AcquiredBuffer) and one._buffer.release()  # noqa: SLF001
            for one in buffer
        ]
        if not all(released):
            why = f"buffer {released.index(False)} is not acquired, or was released before"
            raise self._error.of(StatusCode.MemoryPool_BufNotFound, why)

    def reposition_inputs(
        self,
        inputs: list[Array],
        input_bufs: list[Buffer],
        seqlens: list[list[int]] = [],  # noqa: B006 - never changed
    ) -> None:
        """Quantise arrays, and bring them in the NPU's order, into buffers.

        Args:
            inputs: one an input, HWC or CHW, with a dimension over the items or without.
            input_bufs: one an input.
            seqlens: as for ``acquire_input_buffer``.

        Raises:
            VendorError: if numbers, shapes, types or sizes do not fit.
        """
        tensors = self._variant().inputs
        self._length(seqlens)
        for array, (tensor, target) in zip(
            inputs, self._targets(tensors, inputs, input_bufs), strict=True
        ):
            source = self._as_items(tensor, np.asarray(array), target)
            try:
                target[...] = tensor.encode(source)
            except InvalidError as problem:
                raise self._error.wrap(problem) from problem

    def reposition_outputs(
        self,
        output_bufs: list[Buffer],
        outputs: list[Array],
        seqlens: list[list[int]] = [],  # noqa: B006 - never changed
    ) -> None:
        """Bring what buffers hold into arrays, as real values.

        Args:
            output_bufs: one an output.
            outputs: float32 arrays, HWC or CHW, one an output, or int8 ones for what is held; a
                list of another length is filled with new float32 arrays.
            seqlens: as for ``acquire_input_buffer``.

        Raises:
            VendorError: if numbers, shapes or sizes do not fit.
        """
        tensors = self._variant().outputs
        self._length(seqlens)
        if len(outputs) != len(tensors):
            sources = [held for _, held in self._targets(tensors, output_bufs, output_bufs)]
            many = any(len(held) > 1 for held in sources)
            outputs[:] = [
                np.empty(held.shape if many else held.shape[1:], np.float32) for held in sources
            ]
        for array, (tensor, held) in zip(
            outputs, self._targets(tensors, outputs, output_bufs), strict=True
        ):
            target = self._as_items(tensor, array, held)
            target[...] = held if array.dtype == _INT8 else tensor.decode(held)

    # ---- parts

    def _acquire(self, tensors: Sequence[Tensor], seqlens: list[list[int]]) -> list[Buffer]:
        length = self._length(seqlens)
        return [Buffer(AcquiredBuffer(tensor, length)) for tensor in tensors]

    def _length(self, seqlens: list[list[int]]) -> Length:
        tensors = self._variant().inputs
        steps = [one.tokens.step for one in tensors if one.tokens is not None]
        if not seqlens:
            return Length(1, min(steps, default=0))
        given = [[convert.int32(number) for number in one] for one in seqlens]
        if steps:
            totals = {sum(one) for one in given}
            least = min((number for one in given for number in one), default=0)
            if len(given) != len(tensors) or len(totals) > 1 or least < 1:
                raise self._mismatch(f"{len(tensors)} lists of as many tokens, not {seqlens}")
            return Length(1, totals.pop())
        items = max(len(given[0]), 1)
        fixed = [tensor.shape[1] for tensor in tensors]
        if given not in ([[one] * items for one in fixed], [[] for _ in tensors]):
            raise self._mismatch(f"sequences of the lengths {fixed}, not {seqlens}")
        return Length(items, 0)

    def _mismatch(self, why: str) -> VendorError:
        return self._error.of(StatusCode.Model_ShapeMismatched, f"the inputs need {why}")

    def _targets(
        self, tensors: Sequence[Tensor], arrays: Sequence[object], buffers: list[Buffer]
    ) -> list[tuple[Tensor, Array]]:
        if not len(arrays) == len(buffers) == len(tensors):
            why = f"{len(tensors)} are needed, got {len(arrays)} arrays and {len(buffers)} buffers"
            raise self._error.of(StatusCode.Model_BufferSizeMismatched, why)
        return [
            (tensor, contents(one._buffer, tensor, self._error))  # noqa: SLF001 - inner layer
            for tensor, one in zip(tensors, buffers, strict=True)
        ]

    def _as_items(self, tensor: Tensor, array: Array, held: Array) -> Array:
        """Return an array, HWC or CHW, as a view like what a buffer holds."""
        held_shape = held.shape[1:]
        layouts = shapes.find_layouts([array.shape], [held_shape])
        view = array if array.ndim == 4 else array[np.newaxis]
        if layouts is None or len(view) != len(held):
            why = f"{tensor.spec.name!r} has {len(held)} items of {held_shape}, not {array.shape}"
            raise self._error.of(StatusCode.Model_ShapeMismatched, why)
        return view if layouts.hwc else view.transpose(0, 2, 3, 1)
