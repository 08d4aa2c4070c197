"""What the two classic error classes have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from maccel_aio.compat._shared.status import StatusCode

if TYPE_CHECKING:
    from maccel_aio.errors import MaccelError


class VendorError(RuntimeError):
    """A failed call of the classic API; ``str()`` has the vendor's form.

    Attributes:
        code: the vendor's status code; None when a client made the error itself.
        reason: one sentence that says what went wrong.
        path: the file concerned, or None.
    """

    #: Where the message sends its reader.
    page: ClassVar[str] = ""

    code: StatusCode | None = None
    reason: str = ""
    path: str | None = None

    @classmethod
    def of(cls, code: StatusCode, reason: str, path: str | None = None) -> Self:
        """Build the error that stands for a status code.

        Args:
            code: the status code.
            reason: one sentence that says what went wrong.
            path: the file concerned, if any.
        """
        made = cls(f"{code.name} occurred.\nPlease visit {cls.page} for more details.")
        made.code, made.reason, made.path = code, reason, path
        return made

    @classmethod
    def wrap(cls, problem: MaccelError) -> Self:
        """Build the error that stands for one of the core."""
        return cls.of(StatusCode[problem.vendor_name], problem.reason, problem.path)
