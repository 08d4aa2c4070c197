"""Memory of the package that the NPU reads and writes in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Tuple, Union  # noqa: F401, UP035 - as there

import numpy as np  # noqa: TC002 - clients can reach it

if TYPE_CHECKING:
    from maccel_aio.compat._shared.pinned_memory import RawPinnedMemory

__all__ = ["PinnedMemory"]


class PinnedMemory:
    """An array that the NPU reads and writes in place; see ``Accelerator.allocate_pinned_memory``.

    Args:
        _pinned_memory: the inner layer.
    """

    def __init__(self, _pinned_memory: RawPinnedMemory) -> None:
        self._pinned_memory = _pinned_memory
        self._array = _pinned_memory.array

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - as numpy has it
        """Return elements, as of an array."""
        return self._array[key]

    def __setitem__(self, key: Any, value: Any) -> None:  # noqa: ANN401 - as numpy has it
        """Write elements, as to an array."""
        self._array[key] = value

    def __len__(self) -> int:
        """Return the length of the first dimension."""
        return self.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its elements."""
        return self._array.dtype

    @property
    def size(self) -> int:
        """Its bytes."""
        return self._array.nbytes

    @property
    def is_available(self) -> bool:
        """Whether its accelerator is open."""
        return self._pinned_memory.is_available
