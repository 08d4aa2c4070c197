"""What a classic model, or a variant of it, says of its inputs and outputs."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Generic, TypeVar

from maccel_aio.compat._shared.buffer_info import BufferInfo
from maccel_aio.compat._shared.buffers import Buffered

if TYPE_CHECKING:
    from maccel_aio.compat._shared.tensor import Tensor

ScaleT = TypeVar("ScaleT")


class Described(Buffered, abc.ABC, Generic[ScaleT]):
    """Shapes and scales, and buffers, of a variant; those of a model are those of its first."""

    @abc.abstractmethod
    def _scale(self, tensor: Tensor) -> ScaleT:
        """Return the scale of a tensor in the form of the face."""

    def get_model_input_shape(self) -> list[tuple[int, ...]]:
        """Return (height, width, channel) of each input, without the batch."""
        return [tensor.shape for tensor in self._variant().inputs]

    def get_model_output_shape(self) -> list[tuple[int, ...]]:
        """Return (height, width, channel) of each output, without the batch."""
        return [tensor.shape for tensor in self._variant().outputs]

    def get_input_scale(self) -> list[ScaleT]:
        """Return what int8 elements of each input stand for."""
        return [self._scale(tensor) for tensor in self._variant().inputs]

    def get_output_scale(self) -> list[ScaleT]:
        """Return what int8 elements of each output stand for."""
        return [self._scale(tensor) for tensor in self._variant().outputs]

    def get_input_buffer_info(self) -> list[BufferInfo]:
        """Return the shapes of each input: as compiled, and as the NPU holds it."""
        return [_info(tensor) for tensor in self._variant().inputs]

    def get_output_buffer_info(self) -> list[BufferInfo]:
        """Return the shapes of each output: as compiled, and as the NPU holds it."""
        return [_info(tensor) for tensor in self._variant().outputs]


def _info(tensor: Tensor) -> BufferInfo:
    capacity = 0 if tensor.tokens is None else tensor.tokens.capacity
    return BufferInfo(*tensor.held * 3, *tensor.most, capacity)
