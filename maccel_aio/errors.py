"""Every error of the library, in one tree.

::

    MaccelError(RuntimeError)
    +-- InvalidError(ValueError)       an argument breaks the contract of a call
    |   +-- ShapeError                 arrays that do not fit the model
    |   +-- CacheOverflowError         more tokens than a cache has room for
    +-- ModelFormatError               a file that is not a sound model
    +-- UnsupportedError               well formed, but this build or device cannot do it
    |   +-- NoCacheError               the model keeps no state between calls
    +-- CompileError                   a graph that cannot be compiled
    +-- QueueFullError                 no credit, and waiting is not allowed
    +-- CancelledRequestError          the request was removed before it ran
    +-- DeadlineError(TimeoutError)    the deadline passed before the request ran
    +-- InferenceError                 the device failed one request
    +-- DeviceLostError                the device is gone or was reset
    +-- DeviceNotFoundError            there is no such device
    +-- ClosedError                    the object is closed
    +-- ForkedError                    the object was opened in another process
    +-- WrongLoopError                 the object belongs to another event loop
    +-- BufferInUseError               the device may still write this memory
    +-- WaitTimeoutError(TimeoutError) a bounded wait ran out
    +-- OutOfMemoryError(MemoryError)  memory could not be had

All of them can be pickled, so they cross process borders whole.
"""

from __future__ import annotations

from typing import ClassVar

from maccel_aio._typing import override

__all__ = [
    "BufferInUseError",
    "CacheOverflowError",
    "CancelledRequestError",
    "ClosedError",
    "CompileError",
    "DeadlineError",
    "DeviceLostError",
    "DeviceNotFoundError",
    "ForkedError",
    "InferenceError",
    "InvalidError",
    "MaccelError",
    "ModelFormatError",
    "NoCacheError",
    "OutOfMemoryError",
    "QueueFullError",
    "ShapeError",
    "UnsupportedError",
    "WaitTimeoutError",
    "WrongLoopError",
    "error_from_status",
]


class MaccelError(RuntimeError):
    """The root: raised itself only for failures that have no name of their own.

    Attributes:
        reason: one sentence that says what went wrong.
        code: the native status number, negative; stable between releases.
        path: the file concerned, or None.
    """

    #: Native status number that stands for this class.
    status: ClassVar[int] = -16
    #: The name under which the vendor's runtime reports the situation.
    vendor_name: ClassVar[str] = "InternalError"

    def __init__(
        self, reason: str = "", *, code: int | None = None, path: str | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = self.status if code is None else code
        self.path = path

    @override
    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason

    @override
    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.reason, self.code, self.path)


def _rebuild(cls: type[MaccelError], reason: str, code: int, path: str | None) -> MaccelError:
    return cls(reason, code=code, path=path)


class InvalidError(MaccelError, ValueError):
    """Raised when an argument breaks the contract of a call."""

    status = -1
    vendor_name = "Model_DtypeMismatched"


class ShapeError(InvalidError):
    """Raised when arrays do not fit the model; says what was expected and what came."""

    vendor_name = "Model_ShapeMismatched"


class CacheOverflowError(InvalidError):
    """Raised when the tokens of a call find no room in the cache; nothing was submitted."""

    vendor_name = "Model_CacheOverflow"


class ModelFormatError(MaccelError):
    """Raised when a file is not a sound model: truncated, altered, or made for another runtime."""

    status = -3
    vendor_name = "Model_FailedToLoadMXQ"


class UnsupportedError(MaccelError):
    """Raised when something is well formed, but this build, model or device cannot do it."""

    status = -4
    vendor_name = "NotImplemented"


class NoCacheError(UnsupportedError):
    """Raised when a call is about the cache of a model that keeps no state between calls."""

    vendor_name = "Model_NoCache"


class CompileError(MaccelError):
    """Raised when a graph cannot be compiled."""

    status = -4
    vendor_name = "NotImplemented"


class QueueFullError(MaccelError):
    """Raised when no credit is free and the caller may not, or not any more, wait for one."""

    status = -5
    vendor_name = "Model_TaskQueueTimeout"


class CancelledRequestError(MaccelError):
    """Raised by the result of a request that was cancelled before it ran."""

    status = -6
    vendor_name = "Model_TaskQueueClosed"


class DeadlineError(MaccelError, TimeoutError):
    """Raised when the deadline of a request passed before a core took it: it never ran."""

    status = -7
    vendor_name = "Model_TaskQueueTimeout"


class DeviceLostError(MaccelError):
    """Raised when the device is gone or was reset while it held the request."""

    status = -8
    vendor_name = "Acc_NPUTimeout"


class ClosedError(MaccelError):
    """Raised when an object is used after it was closed, or is closed while in use."""

    status = -9
    vendor_name = "Model_NotAlive"


class ForkedError(MaccelError):
    """Raised when an object is used in a child process that did not open it."""

    status = -10
    vendor_name = "Driver_NotInitialized"


class WaitTimeoutError(MaccelError, TimeoutError):
    """Raised when a bounded wait ran out; what was waited for goes on."""

    status = -11
    vendor_name = "Driver_WaitDoneTimeout"


class BufferInUseError(MaccelError):
    """Raised when memory is offered for outputs while the device may still write to it."""

    status = -12
    vendor_name = "Acc_CoreAlreadyInUse"


class DeviceNotFoundError(MaccelError):
    """Raised when there is no device of the given name."""

    status = -13
    vendor_name = "Acc_DeviceNotFound"


class WrongLoopError(MaccelError):
    """Raised when a job is awaited in another event loop than the one that submitted it."""

    status = -1
    vendor_name = "Future_NotValid"


class InferenceError(MaccelError):
    """Raised when the device failed one request; others are not concerned."""

    status = -15
    vendor_name = "Model_PredictError"


class OutOfMemoryError(MaccelError, MemoryError):
    """Raised when memory for a device, a model or a request could not be had."""

    status = -2
    vendor_name = "BadAlloc"


#: Native status number -> class. -14 (the request already runs) never leaves the library.
_BY_STATUS: dict[int, type[MaccelError]] = {
    -1: InvalidError,
    -2: OutOfMemoryError,
    -3: ModelFormatError,
    -4: UnsupportedError,
    -5: QueueFullError,
    -6: CancelledRequestError,
    -7: DeadlineError,
    -8: DeviceLostError,
    -9: ClosedError,
    -10: ForkedError,
    -11: WaitTimeoutError,
    -12: BufferInUseError,
    -13: DeviceNotFoundError,
    -15: InferenceError,
    -16: MaccelError,
}


def error_from_status(status: int, reason: str, path: str | None = None) -> MaccelError:
    """Build the error that stands for a negative native status.

    Args:
        status: the number that a native call returned.
        reason: the sentence to show.
        path: the file concerned, if any.
    """
    return _BY_STATUS.get(status, MaccelError)(reason, code=status, path=path)
