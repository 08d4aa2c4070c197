"""Memory in the NPU's own layout, as clients hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from maccel_aio._typing import override
from maccel_aio.compat._shared import convert
from maccel_aio.compat._shared.fields import Field

if TYPE_CHECKING:
    from maccel_aio._typing import Array


class RawBuffer:
    """The inner layer: a number of bytes, and the array that holds them, if any."""

    size = Field(convert.uint64, "Number of bytes.")

    def __init__(self) -> None:
        self.size = 0
        self.array: Array | None = None

    def set_buffer(self, arr: object) -> None:
        """Keep an array's elements as int8, contiguous; ``size`` becomes their number.

        Raises:
            TypeError: if they are no numbers.
        """
        array = np.asarray(arr)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"incompatible argument: numbers are needed, got {arr!r}")
        if array.dtype != np.int8:
            with np.errstate(invalid="ignore"):
                array = array.astype(np.int8)
        self.array = np.ascontiguousarray(array)
        self.size = self.array.nbytes


class Buffer:
    """A block of bytes in the NPU's own layout.

    Args:
        _buffer: the inner layer; default: an empty one.
    """

    def __init__(self, _buffer: Any = None) -> None:  # noqa: ANN401 - as there
        self._buffer = RawBuffer() if _buffer is None else _buffer

    @property
    def size(self) -> int:
        """Number of bytes."""
        size: int = self._buffer.size
        return size

    @size.setter
    def size(self, value: int) -> None:
        self._buffer.size = value

    def set_buffer(self, arr: Array) -> None:
        """Hold the elements of an array as int8; a copy unless it is contiguous int8.

        Raises:
            TypeError: if they are no numbers.
        """
        self._buffer.set_buffer(arr)

    @override
    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self._buffer.size})"
