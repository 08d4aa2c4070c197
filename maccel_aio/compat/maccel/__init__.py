"""``maccel`` 0.30.1, name for name: see docs/compat.md for what differs on purpose."""

from __future__ import annotations

from maccel_aio.compat.maccel import version as version
from maccel_aio.compat.maccel.accelerator import *  # noqa: F403 - the names of a vendor's package
from maccel_aio.compat.maccel.future import *  # noqa: F403
from maccel_aio.compat.maccel.maccel import MAccelError as MAccelError
from maccel_aio.compat.maccel.model import *  # noqa: F403
from maccel_aio.compat.maccel.type import *  # noqa: F403
from maccel_aio.compat.maccel.version import *  # noqa: F403

__all__ = [  # noqa: F405 - what the star imports bring
    "Accelerator",
    "Buffer",
    "BufferInfo",
    "Cluster",
    "Core",
    "CoreAllocationPolicy",
    "CoreId",
    "CoreMode",
    "LatencySetPolicy",
    "LogLevel",
    "MAccelError",
    "MaintenancePolicy",
    "Model",
    "ModelConfig",
    "Scale",
    "SchedulePolicy",
    "__version__",
    "load",
    "set_log_level",
    "start_tracing_events",
    "stop_tracing_events",
    "version",
]
