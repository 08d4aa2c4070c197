"""Tensors of the package that are on the host, or on an accelerator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Tuple  # noqa: F401, UP035 - as there

import numpy as np  # noqa: TC002 - clients can reach it

from maccel_aio.compat.qbruntime.accelerator import Accelerator  # noqa: TC001 - as there
from maccel_aio.compat.qbruntime.qbruntime import QbRuntimeError
from maccel_aio.errors import MaccelError

if TYPE_CHECKING:
    from maccel_aio._typing import Array
    from maccel_aio.compat._shared.npu_data import RawNPUData

__all__ = ["NPUData"]


class NPUData:
    """A tensor with a place: see ``Model.acquire_input_npu_data``. One thread at a time.

    It may outlive its model. On an accelerator it is valid for as long as that one is.

    Args:
        _npu_data: the inner layer.
    """

    def __init__(self, _npu_data: RawNPUData) -> None:
        self._npu_data = _npu_data
        self._array: Array | None = self._host_array()

    def _host_array(self) -> Array | None:
        return self._npu_data.array() if self._npu_data.is_on_host else None

    def _here(self) -> Array:
        if self._array is None:
            raise ValueError("NPUData is not on the CPU; call cpu() first.")
        return self._array

    def launch(self, acc: Accelerator) -> None:
        """Move the data to an accelerator.

        Raises:
            AttributeError: if it is no accelerator.
            QbRuntimeError: if there is no memory, or the data is lost.
        """
        try:
            self._npu_data.launch(acc._accelerator)  # noqa: SLF001 - the inner layer
        except MaccelError as problem:
            raise QbRuntimeError.wrap(problem) from problem
        self._array = None

    def cpu(self) -> None:
        """Move the data to the host.

        Raises:
            QbRuntimeError: ``MemoryPool_BufNotFound`` if its accelerator is gone.
        """
        if not self._npu_data.is_on_host:
            self._npu_data.cpu()
            self._array = self._host_array()

    def copy_from(self, src: NPUData) -> None:
        """Take the elements of another one; each stays where it is.

        Raises:
            QbRuntimeError: ``Model_ShapeMismatched`` or ``Model_DtypeMismatched``, or one is lost.
        """
        self._npu_data.copy_from(src._npu_data)

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - as numpy has it
        """Return elements, as of an array.

        Raises:
            ValueError: if the data is not on the host.
        """
        return self._here()[key]

    def __setitem__(self, key: Any, value: Any) -> None:  # noqa: ANN401 - as numpy has it
        """Write elements, as to an array.

        Raises:
            ValueError: if the data is not on the host.
        """
        self._here()[key] = value

    def __len__(self) -> int:
        """Return the length of the first dimension."""
        return self.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor."""
        return self._npu_data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its elements."""
        return self._npu_data.dtype

    @property
    def dev_no(self) -> int:
        """The number of its device; -1 on the host, or when its accelerator is gone."""
        return self._npu_data.dev_no

    @property
    def hardware_name(self) -> str:
        """The hardware of its device; empty on the host, or when its accelerator is gone."""
        return self._npu_data.hardware_name
