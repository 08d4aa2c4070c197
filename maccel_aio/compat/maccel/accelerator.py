"""The accelerator of the package."""

from __future__ import annotations

from typing import List  # noqa: UP035 - clients can reach this name

from maccel_aio.compat._shared import convert, devices
from maccel_aio.compat._shared.accelerator import RawAccelerator
from maccel_aio.compat._shared.status import StatusCode
from maccel_aio.compat.maccel.maccel import MAccelError
from maccel_aio.compat.maccel.type import Cluster, Core, CoreId
from maccel_aio.errors import MaccelError

__all__ = ["Accelerator", "CoreId", "List"]


class Accelerator:
    """An NPU. It is closed with the last object that uses it.

    Args:
        dev_no: number of the device.

    Raises:
        TypeError: if it is no integer of 32 bits.
        MAccelError: ``Driver_NotInitialized`` if there is no such device.
    """

    def __init__(self, dev_no: int = 0) -> None:
        number = convert.int32(dev_no)
        native = devices.native_name("auto", number)
        if native is None:
            why = f"there is no device {number}"
            raise MAccelError.of(StatusCode.Driver_NotInitialized, why)
        try:
            self._accelerator = RawAccelerator(native)
        except MaccelError as problem:
            why = f"device {number} cannot be opened: {problem.reason}"
            raise MAccelError.of(StatusCode.Driver_NotInitialized, why) from problem

    def get_available_cores(self) -> list[CoreId]:
        """Return the local cores: all of them, always, because models share cores."""
        return [
            CoreId(Cluster[place.cluster.name], Core[place.core.name])
            for place in self._accelerator.inner.cores
        ]
