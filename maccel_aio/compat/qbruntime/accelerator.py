"""The accelerator of the package."""

from __future__ import annotations

from typing import Any, Sequence, overload  # noqa: UP035 - clients can reach these names

import numpy as np

from maccel_aio.compat._shared import convert, devices
from maccel_aio.compat._shared.accelerator import RawAccelerator
from maccel_aio.compat._shared.log import package_logger
from maccel_aio.compat._shared.pinned_memory import RawPinnedMemory
from maccel_aio.compat._shared.status import StatusCode
from maccel_aio.compat.qbruntime.pinned_memory import PinnedMemory
from maccel_aio.compat.qbruntime.qbruntime import QbRuntimeError
from maccel_aio.errors import InvalidError, MaccelError

__all__ = ["Accelerator", "PinnedMemory", "Sequence", "np", "overload"]

_log = package_logger("qbruntime")


class Accelerator:
    """An NPU. It is closed with the last object that uses it.

    Args:
        device_name: "auto", "aries" or "aries-rb"; a number means ``dev_no``. Native names, such
            as "null", are taken too.
        dev_no: number of the device.

    Raises:
        TypeError: if an argument is not of its type.
        QbRuntimeError: ``Acc_UnknownDevice``, ``Acc_DeviceNotFound`` or
            ``Driver_NotInitialized``.
    """

    @overload
    def __init__(self, device_name: int) -> None: ...
    @overload
    def __init__(self, device_name: str = "auto", dev_no: int = 0) -> None: ...
    def __init__(self, device_name: Any = "auto", dev_no: int = 0) -> None:
        if isinstance(device_name, int):
            device_name, dev_no = "auto", device_name
        name, number = convert.text(device_name), convert.int32(dev_no)
        native = devices.native_name(name, number)
        if native is None:
            raise _no_device(name, number)
        try:
            self._accelerator = RawAccelerator(native)
        except InvalidError as problem:  # the number
            raise QbRuntimeError.of(StatusCode.Acc_DeviceNotFound, problem.reason) from problem
        except MaccelError as problem:
            raise QbRuntimeError.wrap(problem) from problem

    def get_device_name(self) -> str:
        """Return the name of the hardware that was found."""
        return devices.HARDWARE

    def allocate_pinned_memory(self, shape: Sequence[int], dtype: Any) -> PinnedMemory:  # noqa: ANN401 - as numpy has it
        """Return memory that the NPU reads and writes in place.

        Args:
            shape: of the array.
            dtype: numpy.float32 or numpy.uint8.

        Raises:
            TypeError: if the shape or the type is not possible.
            QbRuntimeError: if there is not so much memory.
        """
        kind, dims = np.dtype(dtype), tuple(convert.int64(dim) for dim in shape)
        if kind not in (np.float32, np.uint8) or min(dims, default=1) < 0:
            raise TypeError(f"float32 or uint8 is needed and a shape, not {kind} {dims}")
        return PinnedMemory(RawPinnedMemory(self._accelerator, dims, kind, QbRuntimeError))


def _no_device(name: str, number: int) -> QbRuntimeError:
    if not devices.is_known(name, _log):
        return QbRuntimeError.of(StatusCode.Acc_UnknownDevice, f"{name!r} is no device")
    concrete = name.lower() in devices.CONCRETE
    code = StatusCode.Driver_NotInitialized if concrete else StatusCode.Acc_DeviceNotFound
    return QbRuntimeError.of(code, f"there is no device {number} of the name {name!r}")
