"""The configuration as ``maccel`` keeps it: always a list of cores."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from maccel_aio._typing import override
from maccel_aio.compat._shared.config_state import (
    CLUSTER_ERROR,
    CLUSTERS,
    CORE_ALL,
    CORE_ERROR,
    CORE_GLOBAL,
    GLOBAL8,
    LOCAL_CORES,
    POLICY_MANUAL,
    SINGLE,
    ConfigState,
    Place,
)

if TYPE_CHECKING:
    import logging
    from collections.abc import Sequence

_DEPRECATED = (
    "`ModelConfig::%s` is deprecated and will be removed in a future release. Please use "
    "`ModelConfig::setSingleCoreMode%s` instead."
)
_BAD_COUNT = (
    "Invalid `num_cores` value: %d. The value must be between 1 and %d (inclusive) to enable "
    "single-core mode. Please specify a valid number within this range. Note that there are %d "
    "available local cores."
)
_MOST_CORES = len(CLUSTERS) * len(LOCAL_CORES)


def _local_cores() -> list[Place]:
    return [(cluster, core) for cluster in CLUSTERS for core in LOCAL_CORES]


@dataclasses.dataclass
class MaccelState(ConfigState):
    """The state machine of ``maccel``.

    Attributes:
        schedule: the deprecated schedule policy; has no effect.
        latency_set: the deprecated latency set policy; has no effect.
        maintenance: the deprecated maintenance policy; has no effect.
        early: the deprecated early latencies; have no effect.
        finish: the deprecated finish latencies; have no effect.
    """

    schedule: int = 0
    latency_set: int = 0
    maintenance: int = 0
    early: list[int] = dataclasses.field(default_factory=list)
    finish: list[int] = dataclasses.field(default_factory=list)

    @classmethod
    def fresh(cls, log: logging.Logger) -> MaccelState:
        """Return the state of a new object: each local core runs requests of its own."""
        return cls(log, SINGLE, POLICY_MANUAL, _MOST_CORES, _local_cores())

    @override
    def set_global8(self) -> bool:
        self._take_clusters(GLOBAL8, CLUSTERS)
        return True

    @override
    def has_cores(self) -> bool:
        return self.num_cores > 0

    def include(self, cluster: int, core: int) -> bool:
        """Add a core, or all that the mode uses, behind the ones that are there."""
        self.log.warning(_DEPRECATED, "include", "")
        if cluster == CLUSTER_ERROR or core == CORE_ERROR:
            return False
        if core == CORE_ALL:
            shared = () if self.mode == SINGLE else (CORE_GLOBAL,)
            return all(self.include(cluster, one) for one in (*LOCAL_CORES, *shared))
        if (cluster, core) not in self.core_ids:
            self.core_ids.append((cluster, core))
        self.num_cores = len(self.core_ids)
        return True

    def exclude(self, cluster: int, core: int) -> bool:
        """Take a core away, or all of a cluster. What is not there is no error."""
        self.log.warning(_DEPRECATED, "exclude", "")
        if core == CORE_ALL:
            if cluster == CLUSTER_ERROR:
                return True
            return all(self.exclude(cluster, one) for one in (*LOCAL_CORES, CORE_GLOBAL))
        self.core_ids = [place for place in self.core_ids if place != (cluster, core)]
        self.num_cores = len(self.core_ids)
        return True

    def include_all(self) -> bool:
        """Add all cores that the mode uses."""
        return all(self.include(cluster, CORE_ALL) for cluster in CLUSTERS)

    def exclude_all(self) -> bool:
        """Take all cores away."""
        return all(self.exclude(cluster, CORE_ALL) for cluster in CLUSTERS)

    def set_auto(self, num_cores: int) -> bool:
        """Do what ``set_count`` does, under the old name."""
        self.log.warning(_DEPRECATED, "setAutoMode(int num_cores)", "(int num_cores)")
        return self.set_count(num_cores)

    def set_manual(self) -> bool:
        """Take all cores away and let the user name them; the mode stays."""
        cores = "(std::vector<CoreId> core_ids)"
        self.log.warning(_DEPRECATED, "setManualMode()", cores)
        self.policy = POLICY_MANUAL
        return self.exclude_all()

    @override
    def _count_fits(self, num_cores: int) -> bool:
        if 1 <= num_cores <= _MOST_CORES:
            return True
        return self.refuse(_BAD_COUNT, num_cores, _MOST_CORES, _MOST_CORES)

    @override
    def _cluster_fits(self, cluster: int, what: str) -> bool:
        if cluster in CLUSTERS:
            return True
        return self.refuse("Invalid %s: `Cluster::Error` is not a valid cluster.", what)

    @override
    def _refuse_error_core(self) -> bool:
        return self.refuse("Invalid core ID: `Core::Error` is not a valid core.")

    @override
    def _take_clusters(self, mode: int, clusters: Sequence[int]) -> None:
        cores = (*LOCAL_CORES, CORE_GLOBAL)
        self.core_ids = [(one, core) for one in sorted(set(clusters)) for core in cores]
        self.mode, self.policy, self.num_cores = mode, POLICY_MANUAL, len(self.core_ids)
