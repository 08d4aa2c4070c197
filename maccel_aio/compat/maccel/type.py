"""Enums, value types and the configuration of the package."""

from __future__ import annotations

from enum import Enum
from typing import List, Optional, Tuple  # noqa: UP035 - clients can reach these names

import numpy as np

from maccel_aio._typing import override
from maccel_aio.compat._shared import convert, summary, tracing
from maccel_aio.compat._shared.buffer import Buffer
from maccel_aio.compat._shared.buffer_info import BufferInfo
from maccel_aio.compat._shared.cache_info import BaseCacheInfo
from maccel_aio.compat._shared.config import BaseModelConfig
from maccel_aio.compat._shared.config_state import CORE_ALL, GLOBAL4, MULTI, Place
from maccel_aio.compat._shared.core_id import BaseCoreId
from maccel_aio.compat._shared.log import package_logger, set_level
from maccel_aio.compat._shared.maccel_state import MaccelState
from maccel_aio.compat._shared.raw_enum import raw_value
from maccel_aio.compat._shared.scale import SymmetricScale
from maccel_aio.compat.maccel import maccel as _raw

__all__ = [
    "Buffer",
    "BufferInfo",
    "CacheInfo",
    "CacheType",
    "Cluster",
    "Core",
    "CoreAllocationPolicy",
    "CoreId",
    "CoreMode",
    "Enum",
    "LatencySetPolicy",
    "List",
    "LogLevel",
    "MaintenancePolicy",
    "ModelConfig",
    "Optional",
    "Scale",
    "SchedulePolicy",
    "Tuple",
    "get_model_summary",
    "np",
    "set_log_level",
    "start_tracing_events",
    "stop_tracing_events",
]

_log = package_logger("maccel")


class Cluster(Enum):
    """A group of four local cores and a global one."""

    Cluster0 = _raw.Cluster.Cluster0
    Cluster1 = _raw.Cluster.Cluster1
    Error = _raw.Cluster.Error


class Core(Enum):
    """A core within a cluster."""

    Core0 = _raw.Core.Core0
    Core1 = _raw.Core.Core1
    Core2 = _raw.Core.Core2
    Core3 = _raw.Core.Core3
    All = _raw.Core.All
    GlobalCore = _raw.Core.GlobalCore
    Error = _raw.Core.Error


class CoreAllocationPolicy(Enum):
    """Whether the cores were named, or only their number."""

    Auto = _raw.CoreAllocationPolicy.Auto
    Manual = _raw.CoreAllocationPolicy.Manual


class LatencySetPolicy(Enum):
    """Deprecated; has no effect."""

    Auto = _raw.LatencySetPolicy.Auto
    Manual = _raw.LatencySetPolicy.Manual


class MaintenancePolicy(Enum):
    """Deprecated; has no effect."""

    Maintain = _raw.MaintenancePolicy.Maintain
    DropExpired = _raw.MaintenancePolicy.DropExpired
    Undefined = _raw.MaintenancePolicy.Undefined


class SchedulePolicy(Enum):
    """Deprecated; has no effect."""

    FIFO = _raw.SchedulePolicy.FIFO
    LIFO = _raw.SchedulePolicy.LIFO
    ByPriority = _raw.SchedulePolicy.ByPriority
    Undefined = _raw.SchedulePolicy.Undefined


class CoreMode(Enum):
    """How cores share the work."""

    Single = _raw.CoreMode.Single
    Multi = _raw.CoreMode.Multi
    Global = _raw.CoreMode.Global
    Global4 = _raw.CoreMode.Global4
    Global8 = _raw.CoreMode.Global8
    Error = _raw.CoreMode.Error


class LogLevel(Enum):
    """From which level on messages show."""

    DEBUG = _raw.LogLevel.DEBUG
    INFO = _raw.LogLevel.INFO
    WARN = _raw.LogLevel.WARN
    ERR = _raw.LogLevel.ERR
    FATAL = _raw.LogLevel.FATAL
    OFF = _raw.LogLevel.OFF


class CacheType(Enum):
    """The kind of a KV cache."""

    Default = _raw.CacheType.Default
    Batch = _raw.CacheType.Batch
    Error = _raw.CacheType.Error


class Scale(SymmetricScale):
    """The scale of a tensor: one, or one a channel."""


class CoreId(BaseCoreId[Cluster, Core]):
    """One core of one cluster."""

    _clusters, _cores = Cluster, Core
    _raw_cluster, _raw_core = _raw.Cluster, _raw.Core


class CacheInfo(BaseCacheInfo[CacheType]):
    """One KV cache of a model.

    Args:
        cache_type: its kind.
        name: of its layer.
        layer_hash: what tells the layer apart from others.
        size: bytes.
        num_batches: how many sequences have a slot of their own.

    Raises:
        AttributeError: if the type is no enum member.
        TypeError: if an argument is not of its type.
    """

    _types = CacheType
    _raw_type = _raw.CacheType

    def __init__(
        self,
        cache_type: CacheType = CacheType.Error,
        name: str = "",
        layer_hash: str = "",
        size: int = 0,
        num_batches: int = 0,
    ) -> None:
        self._fill(cache_type, name, layer_hash, size, num_batches)


class ModelConfig(BaseModelConfig[MaccelState, Cluster, CoreId, CoreMode, CoreAllocationPolicy]):
    """Which cores a model uses and how they share the work; at first each of the eight alone.

    Args:
        num_cores: shorthand for ``set_single_core_mode(num_cores)``; deprecated by the vendor.

    Raises:
        TypeError: if it is no integer of 32 bits.
        ValueError: if there are not so many cores.
    """

    _raw_cluster = _raw.Cluster

    def __init__(self, num_cores: int | None = None) -> None:
        super().__init__(MaccelState.fresh(_log))
        if num_cores is not None:
            self._model_config.construct(convert.int32(num_cores))

    def include_all_cores(self) -> bool:
        """Add all cores that the mode uses. Deprecated by the vendor."""
        return self._model_config.include_all()

    def exclude_all_cores(self) -> bool:
        """Take all cores away. Deprecated by the vendor."""
        return self._model_config.exclude_all()

    def include(self, cluster: Cluster, core: Core | None = None) -> bool:
        """Add a core. Deprecated by the vendor.

        Args:
            cluster: where.
            core: which; None for all that the mode uses.
        """
        return self._model_config.include(*_pair(cluster, core))

    def exclude(self, cluster: Cluster, core: Core | None = None) -> bool:
        """Take a core away. Deprecated by the vendor.

        Args:
            cluster: where.
            core: which; None for all of the cluster.
        """
        return self._model_config.exclude(*_pair(cluster, core))

    def set_single_core_mode(
        self, num_cores: int | None = None, core_ids: list[CoreId] | None = None
    ) -> bool:
        """Let each core run one request of its own.

        Args:
            num_cores: how many cores, 1 to 8, whichever.
            core_ids: or which; sorted, doubles removed.

        Raises:
            ValueError: if none or both are given.
            TypeError: if an argument is not of its type.
        """
        if num_cores is not None and core_ids is None:
            return self._set_count(num_cores)
        if core_ids is not None and num_cores is None:
            return self._set_cores(core_ids)
        raise ValueError("`set_single_core_mode` needs either `num_cores` and `core_ids`.")

    def set_global4_core_mode(self, clusters: list[Cluster]) -> bool:
        """Let the four cores of each cluster share one inference.

        Args:
            clusters: which, at least one.
        """
        return self._model_config.set_clusters(GLOBAL4, self._raw_clusters(clusters))

    def set_multi_core_mode(self, clusters: list[Cluster]) -> bool:
        """Let the four cores of each cluster share a batch.

        Args:
            clusters: which, at least one.
        """
        return self._model_config.set_clusters(MULTI, self._raw_clusters(clusters))

    def set_auto_mode(self, num_cores: int = 1) -> bool:
        """Do what ``set_single_core_mode(num_cores)`` does. Deprecated by the vendor."""
        return self._model_config.set_auto(convert.int32(num_cores))

    def set_manual_mode(self) -> bool:
        """Take all cores away, to name them with ``include``. Deprecated by the vendor."""
        return self._model_config.set_manual()

    @property
    def schedule_policy(self) -> SchedulePolicy:
        """Deprecated; has no effect."""
        return SchedulePolicy(_raw.SchedulePolicy(self._model_config.schedule))

    @schedule_policy.setter
    def schedule_policy(self, policy: SchedulePolicy) -> None:
        self._model_config.schedule = int(raw_value(policy, _raw.SchedulePolicy))

    @property
    def latency_set_policy(self) -> LatencySetPolicy:
        """Deprecated; has no effect."""
        return LatencySetPolicy(_raw.LatencySetPolicy(self._model_config.latency_set))

    @latency_set_policy.setter
    def latency_set_policy(self, policy: LatencySetPolicy) -> None:
        self._model_config.latency_set = int(raw_value(policy, _raw.LatencySetPolicy))

    @property
    def maintenance_policy(self) -> MaintenancePolicy:
        """Deprecated; has no effect."""
        return MaintenancePolicy(_raw.MaintenancePolicy(self._model_config.maintenance))

    @maintenance_policy.setter
    def maintenance_policy(self, policy: MaintenancePolicy) -> None:
        self._model_config.maintenance = int(raw_value(policy, _raw.MaintenancePolicy))

    @property
    def early_latencies(self) -> list[int]:
        """Deprecated; has no effect. A copy."""
        return list(self._model_config.early)

    @early_latencies.setter
    def early_latencies(self, latencies: list[int]) -> None:
        self._model_config.early = convert.items(latencies, convert.uint64)

    @property
    def finish_latencies(self) -> list[int]:
        """Deprecated; has no effect. A copy."""
        return list(self._model_config.finish)

    @finish_latencies.setter
    def finish_latencies(self, latencies: list[int]) -> None:
        self._model_config.finish = convert.items(latencies, convert.uint64)

    @override
    def __repr__(self) -> str:
        shown = {
            "core_mode": self.get_core_mode(),
            "core_allocation_policy": self.get_core_allocation_policy(),
            "core_ids": self.get_core_ids(),
            "num_cores": self.get_num_cores(),
            "forced_npu_bundle_index": self.get_forced_npu_bundle_index(),
        }
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in shown.items())})"

    @override
    def _mode(self, number: int) -> CoreMode:
        return CoreMode(_raw.CoreMode(number))

    @override
    def _policy(self, number: int) -> CoreAllocationPolicy:
        return CoreAllocationPolicy(_raw.CoreAllocationPolicy(number))

    @override
    def _core_id(self, place: Place) -> CoreId:
        cluster, core = place
        return CoreId(Cluster(_raw.Cluster(cluster)), Core(_raw.Core(core)))


def _pair(cluster: Cluster, core: Core | None) -> Place:
    where = int(raw_value(cluster, _raw.Cluster))
    return where, CORE_ALL if core is None else int(raw_value(core, _raw.Core))


def set_log_level(level: LogLevel) -> None:
    """Show messages from this level on; they go to the logger ``maccel_aio.compat.maccel``.

    Raises:
        AttributeError: if it is no enum member.
        TypeError: if it is a member of another enum.
    """
    set_level(_log, int(raw_value(level, _raw.LogLevel)))


def start_tracing_events(path: str) -> bool:
    """Record what the process does, for Perfetto; the file is made now and filled at the end.

    Args:
        path: of the JSON file; overwritten.

    Returns:
        False if the file cannot be made, or a trace is being recorded already.
    """
    return tracing.start(path)


def stop_tracing_events() -> None:
    """End the trace, if there is one, and write its file."""
    tracing.stop()


def get_model_summary(mxq_path: str) -> str:
    """Describe a model file for people; empty, with the reason in the log, if that fails.

    Args:
        mxq_path: of the file.

    Raises:
        TypeError: if it is no path.
    """
    return summary.get_model_summary(mxq_path, _log)
