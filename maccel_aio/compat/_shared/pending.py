"""A classic call that is on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from maccel_aio.errors import MaccelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from maccel_aio._typing import Array
    from maccel_aio.compat._shared.errors import VendorError


class Pending(Protocol):
    """What a future waits for."""

    def wait(self, timeout: float | None) -> bool:
        """Return whether it has ended, waiting at most so many seconds; None for no bound."""

    def result(self) -> list[Array]:
        """Return the outputs, waiting for them, or raise why there are none."""

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        """Call a function, with whatever argument, once it has ended."""


class Later:
    """A job of the core, with the errors of a face.

    Args:
        owner: lives until the job is done.
        job: submitted.
        error: the class of the face.
        finish: makes the outputs of those of the job; None where they are.
    """

    def __init__(
        self,
        owner: object,
        job: Pending,
        error: type[VendorError],
        finish: Callable[[list[Array]], list[Array]] | None,
    ) -> None:
        self._owner: object = owner
        self._job = job
        self._error = error
        self._finish = finish

    def wait(self, timeout: float | None) -> bool:
        """Return whether it has ended, waiting at most so many seconds; None for no bound."""
        ended = self._job.wait(timeout)
        if ended:
            self._owner = None
        return ended

    def result(self) -> list[Array]:
        """Return the outputs, waiting for them, or raise why there are none."""
        try:
            outputs = self._job.result()
        except MaccelError as problem:
            raise self._error.wrap(problem) from problem
        finally:
            self._owner = None
        return outputs if self._finish is None else self._finish(outputs)

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        """Call a function, with whatever argument, once it has ended."""
        self._job.add_done_callback(function)
