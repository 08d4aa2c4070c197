"""Worker threads of the blocking face: few, made when needed, and never in the way of an exit.

The executor of the standard library joins its threads when the interpreter ends, so a device that
hangs would keep the process for ever; and in a forked child it waits for threads that are gone.
"""

from __future__ import annotations

import concurrent.futures
import os
import queue
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class DaemonPool:
    """Runs functions in daemon threads, in the order of submission. Any thread.

    Args:
        most: threads.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        """Begin without threads; in a child, what was submitted belongs to the parent."""
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[tuple[concurrent.futures.Future[Any], Callable[[], Any]]]
        self._work = queue.SimpleQueue()
        self._threads = 0
        #: Work that no thread has taken yet, less the threads that wait for some.
        self._backlog = 0

    def submit(self, function: Callable[..., T], *args: object) -> concurrent.futures.Future[T]:
        """Run ``function(*args)`` as soon as a thread is free."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        with self._lock:
            self._backlog += 1
            self._work.put((future, lambda: function(*args)))
            if self._backlog > 0 and self._threads < self._most:
                self._threads += 1
                name = f"maccel_aio-{self._threads}"
                threading.Thread(target=self._serve, name=name, daemon=True).start()
        return future

    def _serve(self) -> None:
        while True:
            with self._lock:
                self._backlog -= 1
            future, function = self._work.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as problem:  # noqa: BLE001 - the future's owner gets it
                    future.set_exception(problem)
            del future, function  # an idle thread must not keep the arrays of its last work
