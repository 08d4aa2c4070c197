"""The ring of one event loop on one device, and the reader that reaps it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from maccel_aio._core import _graveyard
from maccel_aio._core._backends import current
from maccel_aio._core._ring import Ring

if TYPE_CHECKING:
    from maccel_aio._core._backends import Loop
    from maccel_aio._core._device import NativeDevice

#: Most requests of one loop on one device.
RING_CREDITS = 1024


class Reactor:
    """Completions of one device for one event loop. Its thread only, except ``retire``.

    Args:
        device: open.
        loop: the running one.
    """

    def __init__(self, device: NativeDevice, loop: Loop) -> None:
        self.device = device
        self.loop = loop
        self.ring = Ring(device, RING_CREDITS)
        self._ended = threading.Event()
        try:
            loop.watch(self.ring.fd, self.ring.reap, self.dispose)
            self.ring.reap()  # arms: from now on the first completion makes it readable
        except BaseException:  # a loop that cannot poll: do not keep the ring
            self.ring.dispose()
            raise

    @property
    def ended(self) -> bool:
        """Whether it was disposed of."""
        return self._ended.is_set()

    def dispose(self) -> None:
        """Take the descriptor out of the poller, then close the ring. Never blocks."""
        if self._ended.is_set():
            return
        self._ended.set()
        self.loop.unwatch()
        with self.device.lock:
            self.device.reactors.pop(self.loop.key(), None)
        self.ring.dispose()

    def retire(self, patience_s: float) -> None:
        """Dispose of it from another thread. Blocks for at most ``patience_s``."""
        if self.loop.call_threadsafe(self.dispose):
            self._ended.wait(patience_s)
        else:
            self.dispose()  # its loop does not run: nobody polls, nobody waits


def reactor_for(device: NativeDevice) -> Reactor:
    """Return the reactor of the running loop, made at its first use.

    Raises:
        ForkedError: if another process opened the device.
        ClosedError: if it is closed.
        RuntimeError: if no event loop runs here.
    """
    device.check()
    loop = current()
    with device.lock:
        found = device.reactors.get(loop.key())
        if found is not None and found.loop.is_current():
            return found
        gone = [reactor for reactor in device.reactors.values() if reactor.loop.is_gone()]
    for reactor in gone:
        reactor.dispose()
    _graveyard.sweep()
    made = Reactor(device, loop)
    with device.lock:
        device.reactors[loop.key()] = made
    return made
