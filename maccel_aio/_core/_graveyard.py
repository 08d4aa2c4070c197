"""What could not be freed yet: memory that a device may still write must outlive its owner.

A ring whose loop is gone, a model that is still in use, a device that did not stop in time: each is
kept here with everything it needs, and tried again whenever something is opened or closed. At
interpreter exit there is one bounded last try; what still runs then is never freed at all.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
import time
from typing import Protocol

#: Longest that the interpreter's exit waits for devices, seconds.
EXIT_PATIENCE_S = 1.0


class Remains(Protocol):
    """Something that waits to be freed."""

    def try_dispose(self) -> bool:
        """Free it without blocking; False when it is still in use."""


_lock = threading.Lock()
_buried: list[Remains] = []


def bury(remains: Remains) -> None:
    """Keep something until it can be freed. Any thread, never blocks."""
    with _lock:
        _buried.append(remains)


def sweep() -> int:
    """Free what can be freed by now; return how much is left. Any thread, never blocks."""
    with _lock:
        waiting = list(_buried)
        _buried.clear()
    left = [remains for remains in waiting if not remains.try_dispose()]
    with _lock:
        _buried.extend(left)
        return len(_buried)


def sweep_until_empty(patience_s: float) -> bool:
    """Sweep again and again for at most ``patience_s``; True when nothing is left. Blocks."""
    limit = time.monotonic() + patience_s
    while sweep():
        if time.monotonic() >= limit:
            return False
        time.sleep(0.002)
    return True


def _at_exit() -> None:
    if not sweep_until_empty(EXIT_PATIENCE_S):
        # The device may write after this interpreter's objects are gone: their memory must stay.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(list(_buried)))


def _forget_in_child() -> None:
    """The child owns nothing of this: no thread of the device runs in it."""
    global _lock
    _lock = threading.Lock()
    _buried.clear()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
