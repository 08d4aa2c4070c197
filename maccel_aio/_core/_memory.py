"""Native memory as numpy arrays: it is given back when the last array over it is gone.

A ``Block`` is page-aligned memory of a device. Arrays over it are made through a ``Loan``, which
every one of them, and every view of them, keeps alive; the loan keeps the block. So whoever asks
whether a loan is over learns whether anybody can still reach the memory.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from maccel_aio._core._binding import check, ffi, lib

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from maccel_aio._core._device import NativeDevice
    from maccel_aio._typing import Array, DType

PAGE = 4096
_SHARED = 1


class Block:
    """Page-aligned memory of a device, reused by size when it is gone. Any thread.

    Args:
        device: open.
        nbytes: at least one byte is taken.
        shared: whether another process can map it.

    Raises:
        OutOfMemoryError: if it cannot be had.
        InvalidError: if no device has so much.
        ClosedError: if the device is closed.
        ForkedError: if another process opened it.
    """

    __slots__ = ("_handle", "_native", "address", "fd", "nbytes")

    def __init__(self, device: NativeDevice, nbytes: int, *, shared: bool = False) -> None:
        device.check()
        self._handle = device.handle
        made = ffi.new("maccel_buffer *")
        flags = _SHARED if shared else 0
        check(lib.maccel_buffer_alloc(device.handle, max(nbytes, 1), flags, made))
        self._native = made
        self.address = int(ffi.cast("uintptr_t", made.data))
        self.nbytes = nbytes
        #: To map it elsewhere; -1 unless it is shared.
        self.fd = int(made.fd)

    # The function is bound here because modules may be gone when the last array is.
    def __del__(self, free: object = lib.maccel_buffer_free) -> None:
        native = getattr(self, "_native", None)
        if native is not None:
            free(self._handle, native)  # type: ignore[operator]  # a child after fork: refused


class Loan:
    """What arrays over a block are made of. Alive for as long as one of them is.

    Args:
        block: kept.
    """

    __slots__ = ("__array_interface__", "__weakref__", "_block")

    def __init__(self, block: Block) -> None:
        self._block = block
        self.__array_interface__ = {
            "version": 3,
            "typestr": "|u1",
            "shape": (block.nbytes,),
            "data": (block.address, False),
        }


class Layout(NamedTuple):
    """Where several arrays lie in one block, each at the beginning of a page."""

    #: Offset in bytes, shape and dtype of each.
    places: tuple[tuple[int, tuple[int, ...], DType], ...]
    nbytes: int

    def carve(self, root: Array) -> list[Array]:
        """Return the arrays.

        Args:
            root: the bytes of the block.
        """
        made = []
        for offset, shape, dtype in self.places:
            size = math.prod(shape) * dtype.itemsize
            made.append(root[offset : offset + size].view(dtype).reshape(shape))
        return made


def lay_out(arrays: Iterable[tuple[Sequence[int], DType]]) -> Layout:
    """Lay arrays out one after the other.

    Args:
        arrays: shape and dtype of each.
    """
    places: list[tuple[int, tuple[int, ...], DType]] = []
    end = 0
    for shape, dtype in arrays:
        places.append((end, tuple(shape), dtype))
        size = math.prod(shape) * dtype.itemsize
        end += -(-max(size, 1) // PAGE) * PAGE
    return Layout(tuple(places), end)


def lend(block: Block) -> tuple[Loan, Array]:
    """Return a new loan of a block, and its bytes as an array that keeps it."""
    loan = Loan(block)
    return loan, np.asarray(loan)
