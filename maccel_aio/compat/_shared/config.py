"""What the two classic ModelConfig classes have in common: conversions and getters."""

from __future__ import annotations

import abc
import copy
import enum
from typing import TYPE_CHECKING, ClassVar, Generic, Self, TypeVar

from maccel_aio.compat._shared import convert
from maccel_aio.compat._shared.config_state import GLOBAL, ConfigState, Place
from maccel_aio.compat._shared.core_id import RawCoreId
from maccel_aio.compat._shared.raw_enum import RawEnum, raw_values

if TYPE_CHECKING:
    from collections.abc import Iterable

StateT = TypeVar("StateT", bound=ConfigState)
ClusterT = TypeVar("ClusterT", bound=enum.Enum)
CoreIdT = TypeVar("CoreIdT")
ModeT = TypeVar("ModeT", bound=enum.Enum)
PolicyT = TypeVar("PolicyT", bound=enum.Enum)


class BaseModelConfig(abc.ABC, Generic[StateT, ClusterT, CoreIdT, ModeT, PolicyT]):
    """Which cores a model uses and how they share the work.

    A setter returns True, or it returns False, logs the reason, and leaves everything as it was.
    Equal only to itself, as the vendor's; a copy is independent.
    """

    _raw_cluster: ClassVar[type[RawEnum]]

    def __init__(self, state: StateT) -> None:
        self._model_config = state

    def __copy__(self) -> Self:
        made = object.__new__(type(self))
        made.__dict__.update(vars(self))
        made._model_config = copy.deepcopy(self._model_config)
        return made

    def _raw_clusters(self, clusters: Iterable[ClusterT]) -> list[int]:
        return [int(raw) for raw in raw_values(clusters, self._raw_cluster)]

    def _set_count(self, num_cores: object) -> bool:
        if isinstance(num_cores, list | tuple) and not num_cores:
            return self._model_config.set_cores([])  # an empty list of cores, to the vendor
        return self._model_config.set_count(convert.int32(num_cores))

    def _set_cores(self, core_ids: Iterable[CoreIdT]) -> bool:
        raws = [one._core_id for one in core_ids]  # type: ignore[attr-defined]  # noqa: SLF001
        return self._model_config.set_cores([self._place(raw) for raw in raws])

    def _place(self, raw: object) -> Place:
        if not isinstance(raw, RawCoreId) or not isinstance(raw.cluster, self._raw_cluster):
            raise TypeError(f"incompatible argument: a CoreId is needed, got {raw!r}")
        return raw.rank

    def set_global_core_mode(self, clusters: list[ClusterT]) -> bool:
        """Let the cores of each cluster share one inference. Deprecated by the vendor.

        Args:
            clusters: which, at least one.
        """
        return self._model_config.set_clusters(GLOBAL, self._raw_clusters(clusters))

    def set_global8_core_mode(self) -> bool:
        """Let all eight cores share one inference."""
        return self._model_config.set_global8()

    def get_core_mode(self) -> ModeT:
        """Return how cores share the work."""
        return self._mode(self._model_config.mode)

    def get_core_allocation_policy(self) -> PolicyT:
        """Return whether the cores were named (Manual), or only their number (Auto)."""
        return self._policy(self._model_config.policy)

    def get_num_cores(self) -> int:
        """Return the number of cores."""
        return self._model_config.num_cores

    def get_core_ids(self) -> list[CoreIdT]:
        """Return the cores that were named, as new objects."""
        return [self._core_id(place) for place in self._model_config.core_ids]

    def force_single_npu_bundle(self, npu_bundle_index: int) -> bool:
        """Run only one NPU bundle of a model with CPU segments.

        Args:
            npu_bundle_index: which; -1 runs everything.

        Returns:
            False if it is below -1.

        Raises:
            TypeError: if it is no integer of 32 bits.
        """
        return self._model_config.set_bundle(convert.int32(npu_bundle_index))

    def get_forced_npu_bundle_index(self) -> int:
        """Return the only NPU bundle to run, or -1."""
        return self._model_config.bundle

    def set_async_pipeline_enabled(self, enable: bool) -> None:
        """Set the vendor's switch for ``infer_async``, which works here in either case.

        Raises:
            TypeError: if it has no truth value of its own.
        """
        self._model_config.async_pipeline = convert.truth(enable)

    def get_async_pipeline_enabled(self) -> bool:
        """Return the vendor's switch."""
        return self._model_config.async_pipeline

    # ---- what a face adds

    @abc.abstractmethod
    def _mode(self, number: int) -> ModeT:
        """Return the enum member of a mode."""

    @abc.abstractmethod
    def _policy(self, number: int) -> PolicyT:
        """Return the enum member of a policy."""

    @abc.abstractmethod
    def _core_id(self, place: Place) -> CoreIdT:
        """Return the core of a place."""
