"""The inner layer of a tensor that is in the memory of the host, or of an accelerator."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compat._shared.devices import HARDWARE
from maccel_aio.compat._shared.status import StatusCode

if TYPE_CHECKING:
    from maccel_aio._typing import Array, DType
    from maccel_aio.compat._shared.accelerator import RawAccelerator
    from maccel_aio.compat._shared.errors import VendorError


class RawNPUData:
    """A tensor with a place. One thread at a time.

    On an accelerator it is valid for as long as that one is.

    Args:
        shape: of the tensor.
        dtype: of its elements.
        error: the class of the face.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DType, error: type[VendorError]) -> None:
        self.shape = shape
        self.dtype = dtype
        self._error = error
        self._array: Array | None = np.zeros(shape, dtype)
        self._home: weakref.ref[RawAccelerator] | None = None

    @property
    def is_on_host(self) -> bool:
        """Whether it is in the memory of the host."""
        return self._home is None

    @property
    def accelerator(self) -> RawAccelerator | None:
        """Where it is, if that is an accelerator that still is."""
        return None if self._home is None else self._home()

    @property
    def dev_no(self) -> int:
        """The number of the device; -1 on the host, or when it is lost."""
        home = self.accelerator
        return -1 if home is None else home.number

    @property
    def hardware_name(self) -> str:
        """The name of the hardware; empty on the host, or when it is lost."""
        return "" if self.accelerator is None else HARDWARE

    def array(self) -> Array:
        """Return the elements, wherever they are.

        Raises:
            VendorError: ``MemoryPool_BufNotFound`` if its accelerator is gone.
        """
        if self._array is None:
            why = "the accelerator that held the data is gone"
            raise self._error.of(StatusCode.MemoryPool_BufNotFound, why)
        return self._array

    def launch(self, accelerator: RawAccelerator) -> None:
        """Move it to an accelerator.

        Raises:
            VendorError: if it is lost.
            MaccelError: if there is no memory.
        """
        held = self.array()
        made = accelerator.inner.allocate(self.shape, self.dtype).array
        made[...] = held
        self._array, self._home = made, weakref.ref(accelerator, self._lose)

    def cpu(self) -> None:
        """Move it to the host.

        Raises:
            VendorError: if it is lost.
        """
        self._array, self._home = self.array().copy(), None

    def copy_from(self, source: RawNPUData) -> None:
        """Take the elements of another one; each stays where it is.

        Raises:
            VendorError: ``Model_ShapeMismatched`` or ``Model_DtypeMismatched``, or one is lost.
        """
        for code, mine, other in (
            (StatusCode.Model_ShapeMismatched, self.shape, source.shape),
            (StatusCode.Model_DtypeMismatched, self.dtype, source.dtype),
        ):
            if mine != other:
                raise self._error.of(code, f"{other} cannot be copied to {mine}")
        self.array()[...] = source.array()

    def _lose(self, home: weakref.ref[RawAccelerator]) -> None:
        if self._home is home:
            self._array = None
