"""The configuration as ``qbruntime`` keeps it: cores or clusters, and activation slots."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from maccel_aio._typing import override
from maccel_aio.compat._shared.config_state import (
    AUTO,
    CLUSTERS,
    CORE_ERROR,
    GLOBAL8,
    POLICY_MANUAL,
    ConfigState,
)

if TYPE_CHECKING:
    import logging
    from collections.abc import Sequence

_COUNT_DEPRECATED = (
    "`setSingleCoreMode(int num_cores)` is deprecated and will be removed in a future release. "
    "Please use `ModelConfig::setSingleCoreMode(std::vector<CoreId> core_ids)` instead. Note that "
    "when using MXQ v7 or later, this method configures all available cores regardless of the "
    "`num_cores` value."
)
_BAD_COUNT = "Invalid `num_cores` value: %d. The value must be >= 1 to enable single-core mode."


@dataclasses.dataclass
class QbRuntimeState(ConfigState):
    """The state machine of ``qbruntime``."""

    @classmethod
    def fresh(cls, log: logging.Logger) -> QbRuntimeState:
        """Return the state of a new object: the mode that the model was compiled for."""
        return cls(log, AUTO, POLICY_MANUAL, 0, [])

    @override
    def construct(self, num_cores: int) -> None:
        super().construct(num_cores)
        self.slots = 1

    @override
    def set_global8(self) -> bool:
        self._take(GLOBAL8, (), 2)
        return True

    def set_auto(self) -> bool:
        """Take the mode that the model was compiled for; slots are up to the runtime again."""
        self._take(AUTO, (), -1)
        return True

    def set_slots(self, slots: int) -> None:
        """Keep so many execution contexts; below 0 is refused in the log alone."""
        if slots < 0:
            self.log.error("Invalid activation slot num: %d. Must be >= 0.", slots)
            return
        self.slots = slots

    def _take(self, mode: int, clusters: Sequence[int], slots: int) -> None:
        self.mode, self.policy, self.num_cores = mode, POLICY_MANUAL, 0
        self.core_ids, self.clusters, self.slots = [], list(clusters), slots

    @override
    def _count_fits(self, num_cores: int) -> bool:
        self.log.warning(_COUNT_DEPRECATED)
        return num_cores >= 1 or self.refuse(_BAD_COUNT, num_cores)

    @override
    def _cluster_fits(self, cluster: int, what: str) -> bool:  # noqa: ARG002 - as the other does
        if cluster in CLUSTERS:
            return True
        return self.refuse("Invalid cluster: %x is not a valid cluster.", cluster)

    @override
    def _refuse_error_core(self) -> bool:
        return self.refuse("Invalid core ID: Core %x is not a valid core.", CORE_ERROR)

    @override
    def _take_clusters(self, mode: int, clusters: Sequence[int]) -> None:
        self._take(mode, clusters, 2 * len(clusters))

    @override
    def _set_slots(self, slots: int) -> None:
        self.slots = slots
