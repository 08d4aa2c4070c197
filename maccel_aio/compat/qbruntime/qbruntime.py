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
    Auto = 14
    Error = 15


class CoreAllocationPolicy(RawEnum):
    """See the face."""

    Auto = 0
    Manual = 1


class LogLevel(RawEnum):
    """See the face."""

    Debug = 1
    Info = 2
    Warn = 3
    Err = 4
    Fatal = 5
    Off = 6


class CacheType(RawEnum):
    """See the face."""

    Default = 0
    Batch = 1
    FixedTailCache = 2
    Error = 15


class DataType(RawEnum):
    """See the face."""

    Float32 = 0
    Float16 = 1
    Int8 = 2
    Uint8 = 3
    BInt16 = 4
    Error = 15


class QbRuntimeError(VendorError):
    """Raised by every call of the package that fails at run time."""

    page: ClassVar[str] = "https://docs.mobilint.com/v1.5/doxygen/html_en/group__CPPAPI.html"
