"""Enums, value types and the configuration of the package."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, List, Optional, Tuple, overload  # noqa: UP035 - clients can reach them

import numpy as np

from maccel_aio._typing import override
from maccel_aio.compat._shared import convert, devices, summary, tracing
from maccel_aio.compat._shared.batch_param import BatchParam
from maccel_aio.compat._shared.buffer import Buffer
from maccel_aio.compat._shared.buffer_info import BufferInfo
from maccel_aio.compat._shared.cache_info import BaseCacheInfo
from maccel_aio.compat._shared.config import BaseModelConfig
from maccel_aio.compat._shared.config_state import GLOBAL4, MULTI, Place
from maccel_aio.compat._shared.core_id import BaseCoreId
from maccel_aio.compat._shared.log import package_logger, set_level
from maccel_aio.compat._shared.qbruntime_state import QbRuntimeState
from maccel_aio.compat._shared.raw_enum import raw_value
from maccel_aio.compat._shared.scale import AsymmetricScale
from maccel_aio.compat.qbruntime import qbruntime as _raw

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "BatchParam",
    "Buffer",
    "BufferInfo",
    "CacheInfo",
    "CacheType",
    "Cluster",
    "Core",
    "CoreAllocationPolicy",
    "CoreId",
    "CoreMode",
    "DataType",
    "Enum",
    "List",
    "LogLevel",
    "ModelConfig",
    "Optional",
    "Scale",
    "Tuple",
    "get_available_device_numbers",
    "get_available_devices",
    "get_model_summary",
    "np",
    "overload",
    "set_log_level",
    "start_tracing_events",
    "stop_tracing_events",
]

_log = package_logger("qbruntime")


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


class CoreMode(Enum):
    """How cores share the work."""

    Single = _raw.CoreMode.Single
    Multi = _raw.CoreMode.Multi
    Global = _raw.CoreMode.Global
    Global4 = _raw.CoreMode.Global4
    Global8 = _raw.CoreMode.Global8
    Auto = _raw.CoreMode.Auto
    Error = _raw.CoreMode.Error


class LogLevel(Enum):
    """From which level on messages show."""

    Debug = _raw.LogLevel.Debug
    Info = _raw.LogLevel.Info
    Warn = _raw.LogLevel.Warn
    Err = _raw.LogLevel.Err
    Fatal = _raw.LogLevel.Fatal
    Off = _raw.LogLevel.Off


class CacheType(Enum):
    """The kind of a KV cache."""

    Default = _raw.CacheType.Default
    Batch = _raw.CacheType.Batch
    FixedTailCache = _raw.CacheType.FixedTailCache
    Error = _raw.CacheType.Error


class DataType(Enum):
    """The type of the elements of a tensor."""

    Float32 = _raw.DataType.Float32
    Float16 = _raw.DataType.Float16
    Int8 = _raw.DataType.Int8
    Uint8 = _raw.DataType.Uint8
    BInt16 = _raw.DataType.BInt16
    Error = _raw.DataType.Error


class Scale(AsymmetricScale):
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


class ModelConfig(BaseModelConfig[QbRuntimeState, Cluster, CoreId, CoreMode, CoreAllocationPolicy]):
    """Which cores a model uses and how they share the work; at first what it was compiled for.

    Args:
        num_cores: shorthand for ``set_single_core_mode(num_cores)``; deprecated by the vendor.

    Raises:
        TypeError: if it is no integer of 32 bits.
        ValueError: if it is below 1.
    """

    _raw_cluster = _raw.Cluster

    def __init__(self, num_cores: int | None = None) -> None:
        super().__init__(QbRuntimeState.fresh(_log))
        if num_cores is not None:
            self._model_config.construct(convert.int32(num_cores))

    def set_auto_core_mode(self) -> bool:
        """Take the mode that the model was compiled for; activation slots are reset."""
        return self._model_config.set_auto()

    @overload
    def set_single_core_mode(self, num_cores: int) -> bool: ...
    @overload
    def set_single_core_mode(self, num_cores: Sequence[CoreId]) -> bool: ...
    @overload
    def set_single_core_mode(self, *, core_ids: Sequence[CoreId]) -> bool: ...
    @overload
    def set_single_core_mode(self, num_cores: None, core_ids: Sequence[CoreId]) -> bool: ...
    def set_single_core_mode(
        self,
        num_cores: int | Sequence[CoreId] | None = None,
        core_ids: Sequence[CoreId] | None = None,
    ) -> bool:
        """Let each core run one request of its own.

        Args:
            num_cores: how many cores, whichever; or, like ``core_ids``, which.
            core_ids: which; sorted, doubles removed.

        Raises:
            ValueError: if none or both are given.
            TypeError: if an argument is not of its type.
        """
        if isinstance(num_cores, list | tuple) and core_ids is None:
            num_cores, core_ids = None, num_cores
        if num_cores is not None and core_ids is None:
            return self._set_count(num_cores)
        if core_ids is not None and num_cores is None:
            return self._set_cores(core_ids)
        raise ValueError("`set_single_core_mode` needs either `num_cores` or `core_ids`.")

    def set_global4_core_mode(
        self,
        clusters: list[Cluster] = [Cluster.Cluster0, Cluster.Cluster1],  # noqa: B006 - never changed
    ) -> bool:
        """Let the four cores of each cluster share one inference.

        Args:
            clusters: which, at least one.
        """
        return self._model_config.set_clusters(GLOBAL4, self._raw_clusters(clusters))

    def set_multi_core_mode(
        self,
        clusters: list[Cluster] = [Cluster.Cluster0, Cluster.Cluster1],  # noqa: B006 - never changed
    ) -> bool:
        """Let the four cores of each cluster share a batch.

        Args:
            clusters: which, at least one.
        """
        return self._model_config.set_clusters(MULTI, self._raw_clusters(clusters))

    def set_activation_slots(self, num: int) -> None:
        """Set how many execution contexts the model keeps; below 0 is logged and ignored.

        Raises:
            TypeError: if it is no integer of 32 bits.
        """
        self._model_config.set_slots(convert.int32(num))

    def get_activation_slots(self) -> int:
        """Return the number of execution contexts; -1 leaves it to the runtime."""
        return self._model_config.slots

    def get_clusters(self) -> list[Cluster]:
        """Return the clusters of multi and global4 mode, as they were given."""
        return [Cluster(_raw.Cluster(number)) for number in self._model_config.clusters]

    @override
    def __repr__(self) -> str:
        shown = {
            "core_mode": self.get_core_mode(),
            "core_allocation_policy": self.get_core_allocation_policy(),
            "core_ids": self.get_core_ids(),
            "clusters": self.get_clusters(),
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


def set_log_level(level: LogLevel) -> None:
    """Show messages from this level on; they go to the logger ``maccel_aio.compat.qbruntime``.

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


def get_available_devices() -> list[str]:
    """Return the names of the devices, each of which ``Accelerator`` takes."""
    return devices.available()


def get_available_device_numbers(device_name: str = "auto") -> list[int]:
    """Return the numbers of the devices of a name; none for an unknown one, with a message.

    Args:
        device_name: as for ``Accelerator``.

    Raises:
        TypeError: if it is no text.
    """
    return devices.numbers(convert.text(device_name), _log)
