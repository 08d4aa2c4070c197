"""The inner layer of memory that the NPU reads and writes in place."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from maccel_aio.errors import MaccelError

if TYPE_CHECKING:
    from maccel_aio._typing import Array, DType
    from maccel_aio.compat._shared.accelerator import RawAccelerator
    from maccel_aio.compat._shared.errors import VendorError


class RawPinnedMemory:
    """An array in memory of an accelerator.

    Args:
        accelerator: where.
        shape: of the array.
        dtype: of its elements.
        error: the class of the face.

    Raises:
        VendorError: if the memory cannot be had.
    """

    def __init__(
        self,
        accelerator: RawAccelerator,
        shape: tuple[int, ...],
        dtype: DType,
        error: type[VendorError],
    ) -> None:
        try:
            self.array: Array = accelerator.inner.allocate(shape, dtype).array
        except MaccelError as problem:
            raise error.wrap(problem) from problem
        self._home = weakref.ref(accelerator)

    @property
    def is_available(self) -> bool:
        """Whether its accelerator is open."""
        return self._home() is not None
