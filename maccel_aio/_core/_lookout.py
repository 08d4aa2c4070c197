"""One thread that looks after blocking jobs whose submitters do something else meanwhile.

Completions of a thread's ring are taken by that thread while it waits. A callback must not depend
on that: the lookout sleeps on the descriptors of all rings that have callbacks, takes what comes,
and calls.
"""

from __future__ import annotations

import collections
import logging
import os
import select
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from maccel_aio._core._blocking import ThreadRing

logger = logging.getLogger("maccel_aio")

#: When to look again at rings that their own threads use: those take the completions meanwhile.
_PATIENCE_S = 0.02


class Lookout:
    """Calls functions when jobs are done, in a thread of its own. Any thread may use it."""

    def __init__(self) -> None:
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        """In a child the thread of the parent does not exist; the parent keeps its descriptors."""
        wake = self._wake
        self._reset()
        if wake[0] >= 0:
            for end in wake:
                os.close(end)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        #: Rings, and how many callbacks wait for each.
        self._rings: collections.Counter[ThreadRing] = collections.Counter()
        self._due: collections.deque[Callable[[], object]] = collections.deque()
        self._thread: threading.Thread | None = None
        self._wake = (-1, -1)

    def watch(self, ring: ThreadRing) -> None:
        """Look after a ring until ``call`` was used as often as this."""
        with self._lock:
            self._rings[ring] += 1
            if self._thread is None:
                self._wake = os.pipe()
                for end in self._wake:
                    os.set_blocking(end, False)
                self._thread = threading.Thread(
                    target=self._run, name="maccel-lookout", daemon=True
                )
                self._thread.start()
        self._notify()

    def call(self, ring: ThreadRing, function: Callable[[], object]) -> None:
        """Call a function soon: a job of the ring is done."""
        self._due.append(function)
        with self._lock:
            self._rings[ring] -= 1
            if not self._rings[ring]:
                del self._rings[ring]
        self._notify()

    def _notify(self) -> None:
        try:
            os.write(self._wake[1], b"!")
        except BlockingIOError:  # it is full: the thread will wake anyway
            logger.debug("the lookout has been woken often enough")

    def _run(self) -> None:
        while True:
            while self._due:
                _call(self._due.popleft())
            descriptors, quiet = self._look()
            if not self._due:
                self._sleep(descriptors, None if quiet else _PATIENCE_S)

    def _look(self) -> tuple[list[int], bool]:
        """Take what the rings have; return their descriptors, and whether all are armed now.

        No ring may live for as long as the thread sleeps.
        """
        with self._lock:
            rings = list(self._rings)
        quiet = [ring for ring in rings if _take(ring)]
        # A ring in use is left out: its descriptor stays readable until its thread has looked.
        return [ring.fd for ring in quiet if not ring.disposed], len(quiet) == len(rings)

    def _sleep(self, descriptors: list[int], timeout_s: float | None) -> None:
        poller = select.poll()
        for descriptor in (self._wake[0], *descriptors):
            poller.register(descriptor, select.POLLIN)
        poller.poll(None if timeout_s is None else timeout_s * 1000)
        try:
            os.read(self._wake[0], 4096)
        except BlockingIOError:
            logger.debug("a ring woke the lookout")


def _take(ring: ThreadRing) -> bool:
    """Settle what a ring has; False when its own thread uses it now.

    What is left of more than one wake-up takes makes the descriptor readable again.
    """
    if not ring.lock.acquire(blocking=False):
        return False
    try:
        if not ring.disposed:
            ring.reap()
        return True
    finally:
        ring.lock.release()


def _call(function: Callable[[], object]) -> None:
    try:
        function()
    except Exception:  # a callback of a user must not end the thread
        logger.exception("a done-callback failed")


lookout = Lookout()
