"""The inner layer of the classic accelerators: a device that closes itself."""

from __future__ import annotations

import weakref

from maccel_aio import sync


class RawAccelerator:
    """An open device; closed when it is collected, or when the process ends.

    Args:
        name: its native name.

    Raises:
        DeviceNotFoundError: if there is none.
        MaccelError: if it cannot be opened.
    """

    def __init__(self, name: str) -> None:
        self.inner = sync.Accelerator(name)
        weakref.finalize(self, self.inner.close)
        self.inner.open()

    @property
    def number(self) -> int:
        """The number of the device."""
        return self.inner.info.number
