"""Arrays in memory of a device, for callers."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np

from maccel_aio._core import _guard, _memory
from maccel_aio._typing import override
from maccel_aio.errors import BufferInUseError, ClosedError, InvalidError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from maccel_aio._core._device import NativeDevice
    from maccel_aio._typing import Array, DType


class Buffer:
    """Memory of a device as an array: page-aligned, and reused by the device when it is gone.

    Made by ``Accelerator.allocate``. It may stand wherever an array may: as an input, in ``out=``,
    in ``numpy.asarray`` and ``from_dlpack``. While a request may write it, asking for its array
    raises BufferInUseError. Arrays over it stay valid after ``release``: the memory itself goes
    back when the last of them is gone. Any thread.
    """

    def __init__(
        self, device: NativeDevice, shape: int | Sequence[int], dtype: object, *, shared: bool
    ) -> None:
        self._shape, self._dtype = checked_shape(shape), _checked_dtype(dtype)
        nbytes = math.prod(self._shape) * self._dtype.itemsize
        self._fd = -1
        block = _memory.Block(device, nbytes, shared=shared)
        self._fd = block.fd
        _, root = _memory.lend(block)
        layout = _memory.Layout(((0, self._shape, self._dtype),), nbytes)
        self._array: Array | None = layout.carve(root)[0]

    @override
    def __repr__(self) -> str:
        state = "released" if self._array is None else f"{self.nbytes} bytes"
        return f"<Buffer {self._dtype} {self._shape} [{state}]>"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self._shape

    @property
    def dtype(self) -> DType:
        """Element type of the array."""
        return self._dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self._shape) * self._dtype.itemsize

    @property
    def array(self) -> Array:
        """The array. What is in it at first is left to chance.

        Raises:
            ClosedError: if the buffer was released.
            BufferInUseError: if a request may still write it.
        """
        array = self._here()
        if _guard.is_claimed(array):
            raise BufferInUseError("the device may still write this buffer: its request runs")
        return array

    def _here(self) -> Array:
        if self._array is None:
            raise ClosedError("the buffer was released")
        return self._array

    def target(self) -> Array:
        """Return the array for ``out=``, which checks by itself who else writes it.

        Raises:
            ClosedError: if the buffer was released.
        """
        return self._here()

    def fileno(self) -> int:
        """Return the descriptor by which another process can map a ``shared`` buffer.

        Raises:
            UnsupportedError: if it is not shared.
            ClosedError: if the buffer was released.
        """
        self._here()
        if self._fd < 0:
            raise UnsupportedError("only a buffer that was allocated as shared has a descriptor")
        return self._fd

    def release(self) -> None:
        """Give it up; the memory is reused when nobody can reach it any more. Never blocks.

        Raises:
            ClosedError: if it was released before.
        """
        self._here()
        self._array = None

    # ---- as an array

    def __array__(self, dtype: DType | None = None, copy: bool | None = None) -> Array:
        """Return the array, as numpy asks for it."""
        return np.array(self.array, dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:  # noqa: ANN401 - a capsule
        """Return a capsule that shares the memory, for ``from_dlpack``.

        Raises:
            ClosedError: if the buffer was released.
            BufferInUseError: if a request may still write it.
        """
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return (1, 0): memory that the CPU reaches."""
        kind, number = self._here().__dlpack_device__()
        return int(kind), number

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError("a buffer is memory of this process: pickle a copy of its array")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._array = None


def checked_shape(shape: object) -> tuple[int, ...]:
    """Return a shape as a tuple.

    Raises:
        InvalidError: if it is none.
    """
    given: Sequence[Any] = shape if isinstance(shape, list | tuple) else [shape]
    try:
        made = tuple(operator.index(size) for size in given)
    except TypeError:
        raise InvalidError(f"a shape is a number or a sequence of numbers, not {shape!r}") from None
    if any(size < 0 for size in made):
        raise InvalidError(f"no dimension of a shape may be negative: {made}")
    return made


def _checked_dtype(dtype: object) -> DType:
    try:
        made: DType = np.dtype(dtype)  # type: ignore[call-overload]  # whatever the caller gave
    except TypeError:
        raise InvalidError(f"{dtype!r} is no element type") from None
    if made.hasobject or made.itemsize == 0:
        raise InvalidError(f"a buffer cannot hold elements of type {made}")
    return made
