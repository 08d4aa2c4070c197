"""The ring of one event loop on one device, and the reader that reaps it."""

from __future__ import annotations

import threading
import time
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
        with self.device.lock:
            if self._ended.is_set():
                return
            self._ended.set()
            # A dead loop's number may be another's by now.
            if self.device.reactors.get(self.loop.key()) is self:
                del self.device.reactors[self.loop.key()]
        self.loop.unwatch()
        self.ring.dispose()

    def retire(self, patience_s: float) -> None:
        """Dispose of it from another thread. Blocks for at most ``patience_s``."""
        if not self.loop.call_threadsafe(self.dispose):
            self.dispose()  # its loop does not run: nobody polls, nobody waits
            return
        limit = time.monotonic() + patience_s
        while not self._ended.wait(0.01) and time.monotonic() < limit:
            self.dispose_if_gone()  # the loop may end before it gets to the call

    def dispose_if_gone(self) -> None:
        """Dispose of it if its loop has ended. Any thread, never blocks."""
        if self.loop.is_gone():
            self.dispose()


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
    device.dispose_of_the_gone()
    _graveyard.sweep()
    made = Reactor(device, loop)
    with device.lock:
        device.reactors[loop.key()] = made
    return made
