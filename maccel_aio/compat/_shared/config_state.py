"""The state machine behind the classic ModelConfig, in plain integers.

A setter that refuses returns False, logs why, and leaves the state as it was.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Sequence

SINGLE, MULTI, GLOBAL, GLOBAL4, GLOBAL8, AUTO = 0, 1, 2, 3, 4, 14
POLICY_AUTO, POLICY_MANUAL = 0, 1
CLUSTERS = (1 << 16, 2 << 16)
CLUSTER_ERROR = 0x7FFF0000
LOCAL_CORES = (1, 2, 3, 4)
CORE_ALL, CORE_GLOBAL, CORE_ERROR = 0xFFFC, 0xFFFE, 0xFFFF

#: (cluster, core)
Place = tuple[int, int]

GLOBAL_DEPRECATED = (
    "`setGlobalCoreMode` is deprecated. Please consider using `setGlobal8CoreMode` or "
    "`setGlobal4CoreMode` instead."
)
_COUNT_DEPRECATED = (
    "`ModelConfig(int num_cores)` is deprecated and will be removed in a future release. Please "
    "use `ModelConfig()` and `ModelConfig::setSingleCoreMode(int num_cores)` instead."
)
_BAD_BUNDLE = (
    "Invalid `npu_bundle_index` value: %d. It must be a non-negative integer to specify an NPU "
    "bundle or -1 to indicate that no single NPU bundle is enforced."
)


@dataclasses.dataclass
class ConfigState(abc.ABC):
    """What a configuration holds, and what both packages do with it.

    Attributes:
        log: where refusals and deprecations go.
        mode: how cores share the work.
        policy: whether cores were named, or only their number.
        num_cores: how many cores.
        core_ids: which, in the order of the package.
        clusters: which, as given; only one package uses it.
        slots: execution contexts, -1 for the runtime's choice; only one package uses it.
        bundle: the only NPU bundle to run, or -1.
        async_pipeline: the vendor's switch.
    """

    log: logging.Logger
    mode: int
    policy: int
    num_cores: int
    core_ids: list[Place]
    clusters: list[int] = dataclasses.field(default_factory=list)
    slots: int = -1
    bundle: int = -1
    async_pipeline: bool = False

    def construct(self, num_cores: int) -> None:
        """Do what the constructor does with a number of cores.

        Raises:
            ValueError: if the number is not possible.
        """
        self.log.warning(_COUNT_DEPRECATED)
        if not self.set_count(num_cores):
            raise ValueError(f"a model cannot run on {num_cores} cores")

    def set_count(self, num_cores: int) -> bool:
        """Use so many local cores, whichever."""
        if not self._count_fits(num_cores):
            return False
        self.mode, self.policy, self.num_cores = SINGLE, POLICY_AUTO, num_cores
        self.core_ids = []
        return True

    def set_cores(self, places: Sequence[Place]) -> bool:
        """Use these local cores."""
        if not places:
            return self.refuse("Invalid core IDs: `core_ids` must not be empty.")
        for cluster, core in places:
            if not (self._cluster_fits(cluster, "core ID") and self._core_fits(core)):
                return False
        chosen = sorted(set(places))
        self.mode, self.policy, self.num_cores = SINGLE, POLICY_MANUAL, len(chosen)
        self.core_ids = chosen
        self._set_slots(2 * len(chosen))
        return True

    def set_clusters(self, mode: int, clusters: Sequence[int]) -> bool:
        """Let the cores of these clusters work together."""
        if mode == GLOBAL:
            self.log.warning(GLOBAL_DEPRECATED)
        if not clusters:
            return self.refuse("Invalid clusters: `clusters` must not be empty.")
        if not all(self._cluster_fits(cluster, "cluster") for cluster in clusters):
            return False
        self._take_clusters(mode, clusters)
        return True

    def set_bundle(self, index: int) -> bool:
        """Run only this NPU bundle; -1 for all."""
        if index < -1:
            return self.refuse(_BAD_BUNDLE, index)
        self.bundle = index
        return True

    def has_cores(self) -> bool:
        """Return whether a model can run on what is chosen."""
        return True

    def refuse(self, message: str, *values: object) -> bool:
        """Log why, and return False."""
        self.log.error(message, *values)
        return False

    @abc.abstractmethod
    def set_global8(self) -> bool:
        """Let all cores work on one inference."""

    def _core_fits(self, core: int) -> bool:
        if core == CORE_ALL:
            return self.refuse("Invalid core ID: `Core::All` is not a valid core.")
        if core == CORE_GLOBAL:
            why = "Invalid core ID: `Core::GlobalCore` cannot be used in single-core mode."
            return self.refuse(why)
        return core != CORE_ERROR or self._refuse_error_core()

    @abc.abstractmethod
    def _count_fits(self, num_cores: int) -> bool:
        """Return whether so many cores are possible; log why where not."""

    @abc.abstractmethod
    def _cluster_fits(self, cluster: int, what: str) -> bool:
        """Return whether a cluster exists; log why where not."""

    @abc.abstractmethod
    def _refuse_error_core(self) -> bool:
        """Log that the core does not exist, and return False."""

    @abc.abstractmethod
    def _take_clusters(self, mode: int, clusters: Sequence[int]) -> None:
        """Change to a mode over clusters that exist."""

    def _set_slots(self, slots: int) -> None:  # noqa: B027 - one package does nothing
        """Follow a choice of cores with a number of slots; only one package does."""
