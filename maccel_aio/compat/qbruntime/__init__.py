"""``qbruntime`` 1.5.0, name for name: see docs/compat.md for what differs on purpose."""

from __future__ import annotations

from maccel_aio.compat.qbruntime.accelerator import *  # noqa: F403 - the names of a vendor's package
from maccel_aio.compat.qbruntime.future import *  # noqa: F403
from maccel_aio.compat.qbruntime.model import *  # noqa: F403
from maccel_aio.compat.qbruntime.npu_data import *  # noqa: F403
from maccel_aio.compat.qbruntime.pinned_memory import *  # noqa: F403
from maccel_aio.compat.qbruntime.qbruntime import QbRuntimeError as QbRuntimeError
from maccel_aio.compat.qbruntime.type import *  # noqa: F403
from maccel_aio.compat.qbruntime.version import *  # noqa: F403

__all__ = [  # noqa: F405 - what the star imports bring
    "Accelerator",
    "Buffer",
    "BufferInfo",
    "Cluster",
    "Core",
    "CoreAllocationPolicy",
    "CoreId",
    "CoreMode",
    "LogLevel",
    "Model",
    "ModelConfig",
    "NPUData",
    "PinnedMemory",
    "QbRuntimeError",
    "Scale",
    "load",
    "set_log_level",
    "start_tracing_events",
    "stop_tracing_events",
]
