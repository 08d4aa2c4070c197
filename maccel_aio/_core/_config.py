"""ModelConfig: which cores a model uses and how they share the work."""

from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from maccel_aio._core._types import (
    Cluster,
    Core,
    CoreId,
    CoreMode,
    LatencySetPolicy,
    MaintenancePolicy,
    SchedulePolicy,
)
from maccel_aio._typing import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

logger = logging.getLogger("maccel_aio")

_LOCAL_CORES = (Core.Core0, Core.Core1, Core.Core2, Core.Core3)
_BOTH = (Cluster.Cluster0, Cluster.Cluster1)
#: Bit of a cluster's first core in the native core mask.
_CLUSTER_SHIFT = {Cluster.Cluster0: 0, Cluster.Cluster1: 8}
_CORE_BIT = {core: bit for bit, core in enumerate((*_LOCAL_CORES, Core.GlobalCore))}


E = TypeVar("E", bound=enum.Enum)

#: Numbers of maccel_schedule.
_SCHEDULES = {SchedulePolicy.ByPriority: 0, SchedulePolicy.FIFO: 1, SchedulePolicy.LIFO: 2}
_US = 1000
#: The longest latency, microseconds: 285 years.
MOST_LATENCY = (1 << 53) - 1


class Options(NamedTuple):
    """What the native loader takes."""

    core_mask: int
    core_mode: int
    num_cores: int
    slots: int
    schedule: int
    #: Whether deadlines count the shortest time that the device has seen.
    foresee: bool
    #: Nanoseconds that deadlines are earlier by.
    early_ns: int


class ModelConfig:
    """Which cores a model uses, how they share the work, and which request comes next.

    The semantics are those of the vendor's runtime: a setter returns True, or returns False, logs
    the reason, and leaves everything as it was. A fresh object is in automatic mode.

    Thread rule: change it before it is given to a model; a model keeps its own copy.

    Args:
        num_cores: shorthand for ``set_single_core_mode(num_cores)``.

    Raises:
        ValueError: if num_cores is below 1.
    """

    def __init__(self, num_cores: int | None = None) -> None:
        self._mode = CoreMode.Auto
        self._automatic = False
        self._num_cores = 0
        self._core_ids: tuple[CoreId, ...] = ()
        self._clusters: tuple[Cluster, ...] = ()
        self._slots = -1
        self._bundle = -1
        self._async_pipeline = False
        self._schedule = SchedulePolicy.ByPriority
        self._latency_set = LatencySetPolicy.Manual
        self._maintenance = MaintenancePolicy.DropExpired
        self._early: tuple[int, ...] = ()
        self._finish: tuple[int, ...] = ()
        if num_cores is not None:
            if not self.set_single_core_mode(num_cores):
                raise ValueError(f"num_cores must be at least 1, got {num_cores}")
            self._slots = 1

    @override
    def __repr__(self) -> str:
        return (
            f"ModelConfig(core_mode={self._mode}, num_cores={self._num_cores}, "
            f"core_ids=[{', '.join(map(str, self._core_ids))}], "
            f"clusters=[{', '.join(cluster.name for cluster in self._clusters)}], "
            f"activation_slots={self._slots}, forced_npu_bundle_index={self._bundle}, "
            f"async_pipeline_enabled={self._async_pipeline})"
        )

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ModelConfig):
            return NotImplemented
        return vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def copy(self) -> ModelConfig:
        """Return an independent equal object."""
        made = ModelConfig()
        made.__dict__.update(vars(self))
        return made

    def set_single_core_mode(
        self,
        num_cores: int | Sequence[CoreId] | None = None,
        core_ids: Sequence[CoreId] | None = None,
    ) -> bool:
        """Let each core run one request of its own.

        Args:
            num_cores: how many cores, any of them; or, like ``core_ids``, which.
            core_ids: which cores; sorted, doubles removed.

        Returns:
            False, with nothing changed, if the number or a core is not valid.

        Raises:
            ValueError: if none or both are given.
            TypeError: if num_cores is not an integer.
        """
        if num_cores is not None and core_ids is not None:
            raise ValueError("`set_single_core_mode` needs either `num_cores` or `core_ids`.")
        if isinstance(num_cores, list | tuple):
            num_cores, core_ids = None, num_cores
        if core_ids is not None:
            return self._set_cores(core_ids)
        if num_cores is None:
            raise ValueError("`set_single_core_mode` needs either `num_cores` or `core_ids`.")
        count = _integer(num_cores)
        if count < 1:
            return _refuse("Invalid `num_cores` value: %d. The value must be >= 1.", count)
        self._mode, self._automatic = CoreMode.Single, True
        self._num_cores, self._core_ids, self._clusters = count, (), ()
        return True

    def _set_cores(self, core_ids: Sequence[CoreId]) -> bool:
        cores = sorted(set(core_ids), key=lambda core_id: core_id.rank)
        if not cores:
            return _refuse("Invalid core IDs: `core_ids` must not be empty.")
        for core_id in cores:
            if core_id.cluster not in _BOTH or core_id.core not in _LOCAL_CORES:
                return _refuse("Invalid core ID: %s cannot be used in single-core mode.", core_id)
        self._mode, self._automatic = CoreMode.Single, False
        self._num_cores, self._core_ids, self._clusters = len(cores), tuple(cores), ()
        self._slots = 2 * len(cores)
        return True

    def set_multi_core_mode(self, clusters: Iterable[Cluster] = _BOTH) -> bool:
        """Let the cores of a cluster share a batch. False if a cluster is not valid."""
        return self._set_clusters(CoreMode.Multi, clusters)

    def set_global4_core_mode(self, clusters: Iterable[Cluster] = _BOTH) -> bool:
        """Let the four cores of a cluster share one inference. False if a cluster is not valid."""
        return self._set_clusters(CoreMode.Global4, clusters)

    def set_global8_core_mode(self) -> bool:
        """Let all eight cores share one inference."""
        self._set_shared(CoreMode.Global8, (), 2)
        return True

    def set_auto_core_mode(self) -> bool:
        """Take the mode that the model was compiled for; activation slots are reset."""
        self._set_shared(CoreMode.Auto, (), -1)
        return True

    def _set_clusters(self, mode: CoreMode, clusters: Iterable[Cluster]) -> bool:
        chosen = tuple(clusters)
        if not chosen or any(cluster not in _BOTH for cluster in chosen):
            return _refuse("Invalid clusters for %s: %s", mode, chosen)
        self._set_shared(mode, chosen, 2 * len(chosen))
        return True

    def _set_shared(self, mode: CoreMode, clusters: tuple[Cluster, ...], slots: int) -> None:
        self._mode, self._automatic = mode, False
        self._num_cores, self._core_ids, self._clusters = 0, (), clusters
        self._slots = slots

    def set_activation_slots(self, num: int) -> None:
        """Set how many execution contexts the model keeps; below 0 is logged and ignored."""
        count = _integer(num)
        if count < 0:
            _refuse("Invalid activation slot num: %d. Must be >= 0.", count)
            return
        self._slots = count

    def force_single_npu_bundle(self, npu_bundle_index: int) -> bool:
        """Run only this NPU bundle of a model with CPU segments; -1 runs everything."""
        index = _integer(npu_bundle_index)
        if index < -1:
            return _refuse("Invalid `npu_bundle_index` value: %d. It must be >= -1.", index)
        self._bundle = index
        return True

    def set_async_pipeline_enabled(self, enable: bool) -> None:
        """Store the vendor's switch. Requests are asynchronous here in either case."""
        self._async_pipeline = bool(enable)

    def get_core_mode(self) -> CoreMode:
        """Return how cores share the work."""
        return self._mode

    def get_num_cores(self) -> int:
        """Return the number of cores in single-core mode, else 0."""
        return self._num_cores

    def get_core_ids(self) -> list[CoreId]:
        """Return the cores that were chosen one by one."""
        return list(self._core_ids)

    def get_clusters(self) -> list[Cluster]:
        """Return the clusters of multi and global4 mode, as they were given."""
        return list(self._clusters)

    def get_activation_slots(self) -> int:
        """Return the number of execution contexts; -1 leaves it to the runtime."""
        return self._slots

    def get_forced_npu_bundle_index(self) -> int:
        """Return the only NPU bundle to run, or -1."""
        return self._bundle

    def get_async_pipeline_enabled(self) -> bool:
        """Return the vendor's switch."""
        return self._async_pipeline

    def is_core_allocation_automatic(self) -> bool:
        """Return whether only a number of cores was given, not which."""
        return self._automatic

    # ---- which request comes next, and which comes too late

    @property
    def schedule_policy(self) -> SchedulePolicy:
        """Which of the model's queued requests a core takes next; by priority unless set.

        Between models the order is by priority, then submission; requests under FIFO and LIFO
        have priority 0 there.
        """
        return self._schedule

    @schedule_policy.setter
    def schedule_policy(self, policy: SchedulePolicy) -> None:
        self._schedule = _member(SchedulePolicy, policy)

    @property
    def maintenance_policy(self) -> MaintenancePolicy:
        """What becomes of requests that are too late; they are dropped unless set.

        Under ``Maintain`` neither ``deadline=`` nor the latency set keeps a request from running.
        """
        return self._maintenance

    @maintenance_policy.setter
    def maintenance_policy(self, policy: MaintenancePolicy) -> None:
        self._maintenance = _member(MaintenancePolicy, policy)

    @property
    def latency_set_policy(self) -> LatencySetPolicy:
        """Who says how long requests take; the two lists, which are empty, unless set."""
        return self._latency_set

    @latency_set_policy.setter
    def latency_set_policy(self, policy: LatencySetPolicy) -> None:
        self._latency_set = _member(LatencySetPolicy, policy)

    @property
    def early_latencies(self) -> list[int]:
        """How long a core needs for a request, microseconds: one number a variant. A copy.

        The last number stands for all further variants, none for not known. A request that has less
        time than this left until its deadline is too late.
        """
        return list(self._early)

    @early_latencies.setter
    def early_latencies(self, latencies: Iterable[int]) -> None:
        self._early = _latencies(latencies)

    @property
    def finish_latencies(self) -> list[int]:
        """The deadline of requests that bring none, or a later one, microseconds. A copy.

        Counted from the call, one number a variant, as in ``early_latencies``.
        """
        return list(self._finish)

    @finish_latencies.setter
    def finish_latencies(self, latencies: Iterable[int]) -> None:
        self._finish = _latencies(latencies)

    def drops_expired(self) -> bool:
        """Return whether requests that are too late do not run."""
        return self._maintenance is MaintenancePolicy.DropExpired

    def early_ns(self, variant: int) -> int:
        """Return what ``early_latencies`` says of a variant, nanoseconds; 0 where none counts."""
        return self._latency(self._early, variant)

    def finish_ns(self, variant: int) -> int:
        """Return what ``finish_latencies`` says of a variant, nanoseconds; 0 where none counts."""
        return self._latency(self._finish, variant)

    def _latency(self, latencies: tuple[int, ...], variant: int) -> int:
        given = self._latency_set is LatencySetPolicy.Manual and self.drops_expired()
        if not given or not latencies:
            return 0
        return latencies[min(variant, len(latencies) - 1)] * _US

    def core_mask(self) -> int:
        """Return the chosen cores as the native loader takes them; 0 for all."""
        mask = 0
        for core_id in self._core_ids:
            mask |= 1 << (_CLUSTER_SHIFT[core_id.cluster] + _CORE_BIT[core_id.core])
        for cluster in self._clusters:
            for bit in _CORE_BIT.values():
                mask |= 1 << (_CLUSTER_SHIFT[cluster] + bit)
        return mask

    def native_options(self, early_ns: int = 0) -> Options:
        """Return what the native loader takes.

        Args:
            early_ns: how long a core needs for the program that is loaded, or 0.
        """
        foresee = self._latency_set is LatencySetPolicy.Auto
        return Options(
            self.core_mask(), self._mode.value, self._num_cores, max(self._slots, 0),
            _SCHEDULES[self._schedule], foresee, early_ns,
        )  # fmt: skip


def _integer(value: object) -> int:
    if not hasattr(value, "__index__"):
        raise TypeError(f"an integer is needed, got {type(value).__name__}")
    return int(value.__index__())


def _member(kind: type[E], value: object) -> E:
    if not isinstance(value, kind):
        names = ", ".join(member.name for member in kind)
        raise TypeError(f"a {kind.__name__} is needed ({names}), got {value!r}")
    return value


def _latencies(values: Iterable[int]) -> tuple[int, ...]:
    """Check microseconds: any that fit 64 bits as nanoseconds."""
    numbers = tuple(map(_integer, values))
    if any(not 0 <= number <= MOST_LATENCY for number in numbers):
        raise ValueError(f"latencies are microseconds, 0 to {MOST_LATENCY}, got {list(numbers)}")
    return numbers


def _refuse(message: str, *args: object) -> bool:
    logger.error(message, *args)
    return False
