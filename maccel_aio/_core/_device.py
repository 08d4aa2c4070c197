"""Native devices, shared by everybody in the process who asks for the same name."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING

from maccel_aio._core import _binding, _graveyard
from maccel_aio._core._types import Cluster, Core, CoreId, DeviceStats
from maccel_aio._typing import override
from maccel_aio.errors import ClosedError, ForkedError, InvalidError

if TYPE_CHECKING:
    from maccel_aio._core._reactor import Reactor
    from maccel_aio._core._ring import Ring

logger = logging.getLogger("maccel_aio")

DeviceName = str | int | tuple[str, int]

_lock = threading.Lock()
_open: dict[str, NativeDevice] = {}
_all: weakref.WeakSet[NativeDevice] = weakref.WeakSet()

_CLUSTERS = (Cluster.Cluster0, Cluster.Cluster1)
_LOCAL_CORES = (Core.Core0, Core.Core1, Core.Core2, Core.Core3)


def native_name(device: DeviceName) -> str:
    """Return the native name of a device: "auto" and numbers mean the software NPU.

    Raises:
        InvalidError: if it is no name, number or pair of both.
    """
    if isinstance(device, tuple) and len(device) == 2:
        kind = "soft" if device[0] == "auto" else device[0]
        device = f"{kind}:{device[1]}"
    if isinstance(device, bool) or not isinstance(device, str | int):
        raise InvalidError(f"a device is a name, a number or (name, number), not {device!r}")
    if isinstance(device, int):
        device = f"soft:{device}"
    if device == "auto":
        return "soft:0"
    return f"{device}:0" if device in ("soft", "null") else device


class NativeDevice:
    """One open device. Made by ``acquire``; everything here may be called from any thread.

    Args:
        name: native name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.handle = _binding.open_device(name)
        self.info = _binding.device_info(self.handle)
        self.forked = False
        self.closed = False
        #: Guards everything below.
        self.lock = threading.RLock()
        self.reactors: dict[int, Reactor] = {}
        #: Rings of threads; those of loops hang on their reactors.
        self.thread_rings: weakref.WeakSet[Ring] = weakref.WeakSet()
        self._owners = 0
        self._children = 0
        _all.add(self)

    @override
    def __repr__(self) -> str:
        state = "forked" if self.forked else "closed" if self.closed else "open"
        return f"<NativeDevice {self.name} {state} [{self._owners} owners, {self._children} parts]>"

    @property
    def cores(self) -> tuple[CoreId, ...]:
        """The local cores, by cluster."""
        clusters, local = self.info.clusters, self.info.local_cores
        return tuple(
            CoreId(cluster, core)
            for cluster in _CLUSTERS[:clusters]
            for core in _LOCAL_CORES[:local]
        )

    def check(self) -> None:
        """Make sure that the device can be used here.

        Raises:
            ForkedError: if another process opened it.
            ClosedError: if it is closed.
        """
        if self.forked:
            raise ForkedError(f"{self.name} was opened before the process forked: open it again")
        if self.closed:
            raise ClosedError(f"{self.name} is closed")

    def adopt(self, handle: _binding.Handle) -> _binding.Handle:
        """Count a native part that must be freed before the device, and return it."""
        with self.lock:
            self._children += 1
        return handle

    def forget(self, handle: _binding.Handle) -> None:
        """A part of ``adopt`` is freed."""
        del handle
        with self.lock:
            self._children -= 1

    def stats(self) -> DeviceStats:
        """Return the native counters."""
        self.check()
        return DeviceStats(*_binding.device_stats(self.handle))

    def join(self) -> None:
        """Count one more owner."""
        with self.lock:
            self._owners += 1

    def release(self, timeout_s: float) -> bool:
        """Give up one ownership; the last one closes the device. Blocks for at most the timeout.

        Returns:
            False when something still ran at the bound: it is freed later.
        """
        with _lock:
            self._owners -= 1
            if self._owners > 0 or self.closed:
                return True
            self.closed = True
            if _open.get(self.name) is self:
                del _open[self.name]
        return True if self.forked else self._close(timeout_s)

    def _close(self, timeout_s: float) -> bool:
        limit = time.monotonic() + timeout_s
        with self.lock:
            reactors = list(self.reactors.values())
            rings = list(self.thread_rings)
        for reactor in reactors:
            reactor.retire(max(limit - time.monotonic(), 0.1))
        remaining_ns = int(max(limit - time.monotonic(), 0.0) * 1e9)
        stopped = _binding.close_device(self.handle, remaining_ns)
        for ring in rings:
            ring.dispose()
        _graveyard.sweep()
        if not self.try_dispose():
            _graveyard.bury(self)
        return stopped

    def dispose_of_the_gone(self) -> None:
        """Dispose of the reactors whose loops have ended."""
        with self.lock:
            reactors = list(self.reactors.values())
        for reactor in reactors:
            reactor.dispose_if_gone()

    def try_dispose(self) -> bool:
        """Free it if it has stopped and its parts are gone. For the graveyard."""
        if self.forked:
            return True
        self.dispose_of_the_gone()
        with self.lock:
            # Closing goes on with every call; what hangs is only given back by it.
            if not _binding.close_device(self.handle, 0) or self._children:
                return False
            _binding.free_device(self.handle)
            return True


def acquire(name: str) -> NativeDevice:
    """Open a device, or join those who have it open. Blocks for as long as starting it takes.

    Raises:
        DeviceNotFoundError: if there is none of this name.
        MaccelError: if it cannot be opened.
    """
    _graveyard.sweep()
    with _lock:
        device = _open.get(name)
        if device is None:
            device = _open[name] = NativeDevice(name)
        device.join()
        return device


def still_open() -> list[str]:
    """Return the names of the devices that are open now."""
    return list(_open)


def _mark_forked() -> None:
    """In the child: the device's threads do not exist here, so nothing native may be touched."""
    global _lock
    _lock = threading.Lock()
    for device in list(_all):
        device.forked = True
        device.lock = threading.RLock()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark_forked)
