"""The inner layer of the package: integers of the enums, and the error."""

from __future__ import annotations

from typing import ClassVar

from maccel_aio.compat._shared.errors import VendorError
from maccel_aio.compat._shared.raw_enum import RawEnum


class Cluster(RawEnum):
    """See the face."""

    Cluster0 = 1 << 16
    Cluster1 = 2 << 16
    Error = 0x7FFF0000


class Core(RawEnum):
    """See the face."""

    Core0 = 1
    Core1 = 2
    Core2 = 3
    Core3 = 4
    All = 0xFFFC
    GlobalCore = 0xFFFE
    Error = 0xFFFF


class CoreMode(RawEnum):
    """See the face."""

    Single = 0
    Multi = 1
    Global = 2
    Global4 = 3
    Global8 = 4
    Error = 15


class CoreAllocationPolicy(RawEnum):
    """See the face."""

    Auto = 0
    Manual = 1


class LatencySetPolicy(RawEnum):
    """See the face."""

    Auto = 0
    Manual = 1


class MaintenancePolicy(RawEnum):
    """See the face."""

    Maintain = 0
    DropExpired = 1
    Undefined = 2


class SchedulePolicy(RawEnum):
    """See the face."""

    FIFO = 0
    LIFO = 1
    ByPriority = 2
    Undefined = 3


class LogLevel(RawEnum):
    """See the face."""

    DEBUG = 1
    INFO = 2
    WARN = 3
    ERR = 4
    FATAL = 5
    OFF = 6


class CacheType(RawEnum):
    """See the face."""

    Default = 0
    Batch = 1
    Error = 15


class CoreStatus(RawEnum):
    """What a core does."""

    Vacant = 0
    Ready = 1
    Idle = 2
    Running = 3


class CollaborationModel(RawEnum):
    """How cores of a cluster work together."""

    Unified = 0
    Separated = 1
    Undefined = 2


class InferenceResult(RawEnum):
    """How an inference ended."""

    Successful = 0
    Expired = 1
    Unexpected = 2


class MAccelError(VendorError):
    """Raised by every call of the package that fails at run time."""

    page: ClassVar[str] = "https://docs.mobilint.com/v0.30/doxygen/html_en/group__CPPAPI.html"
