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
_Work = tuple[concurrent.futures.Future[Any], "Callable[[], Any]"]


class DaemonPool:
    """Runs functions in daemon threads, in the order of submission. Any thread.

    A function may submit others and wait for them: what finds no thread free then gets one for
    itself, or all of them could wait for one another.

    Args:
        most: threads that stay.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        """Begin without threads; in a child, what was submitted belongs to the parent."""
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[_Work] = queue.SimpleQueue()
        self._threads = 0
        #: Work that no thread has taken yet, less the threads that wait for some.
        self._backlog = 0
        self._local = threading.local()

    def submit(self, function: Callable[..., T], *args: object) -> concurrent.futures.Future[T]:
        """Run ``function(*args)`` as soon as a thread is free.

        Raises:
            RuntimeError: if no thread can be started for it; it will not run.
        """
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        work = (future, lambda: function(*args))
        with self._lock:
            if self._backlog < 0 or not self._employ(work):
                self._backlog += 1
                self._work.put(work)
        return future

    def _employ(self, work: _Work) -> bool:
        """Start a thread for work, if there may be one more; False if others will come to it."""
        inner = getattr(self._local, "inside", False)
        if self._threads >= self._most and not inner:
            return False
        lasting = self._threads < self._most
        thread = threading.Thread(
            target=self._serve, args=([work], lasting), daemon=True,
            name=f"maccel_aio-{self._threads + 1}",
        )  # fmt: skip
        try:
            thread.start()
        except RuntimeError:
            if self._threads == 0 or inner:
                raise
            return False
        self._threads += lasting
        return True

    def _serve(self, first: list[_Work], lasting: bool) -> None:
        self._local.inside = True
        work = first.pop()  # the arguments of a thread live as long as it does
        _carry(work)
        while lasting:
            del work  # an idle thread must not keep the arrays of its last work
            with self._lock:
                self._backlog -= 1
            work = self._work.get()
            _carry(work)


def _carry(work: _Work) -> None:
    future, function = work
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(function())
        except BaseException as problem:  # noqa: BLE001 - the future's owner gets it
            future.set_exception(problem)
