"""From a classic configuration to what the native loader takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maccel_aio._core._config import MOST_LATENCY, ModelConfig
from maccel_aio._core._types import CoreMode, LatencySetPolicy, MaintenancePolicy, SchedulePolicy
from maccel_aio._typing import override
from maccel_aio.compat._shared.config_state import (
    AUTO,
    CLUSTERS,
    CORE_GLOBAL,
    GLOBAL,
    GLOBAL4,
    GLOBAL8,
    LOCAL_CORES,
    MULTI,
    POLICY_AUTO,
    SINGLE,
    ConfigState,
    Place,
)
from maccel_aio.compat._shared.maccel_state import MaccelState

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The deprecated global mode is what was split into global4 and global8 later.
_MODES = {
    SINGLE: CoreMode.Single, MULTI: CoreMode.Multi, GLOBAL: CoreMode.Global4,
    GLOBAL4: CoreMode.Global4, GLOBAL8: CoreMode.Global8, AUTO: CoreMode.Auto,
}  # fmt: skip
_SCHEDULES = {policy.value: policy for policy in SchedulePolicy}
_MAINTENANCE = {policy.value: policy for policy in MaintenancePolicy}
_NAMES = {SINGLE: "single", MULTI: "multi", GLOBAL4: "global4", GLOBAL8: "global8"}
_BITS = {core: bit for bit, core in enumerate((*LOCAL_CORES, CORE_GLOBAL))}
_SHIFTS = {cluster: 8 * number for number, cluster in enumerate(CLUSTERS)}


class CoreChoice(ModelConfig):
    """The core's configuration, made of a classic one.

    Args:
        state: copied.
    """

    def __init__(self, state: ConfigState) -> None:
        super().__init__()
        self._state = state
        self._mode = _MODES[state.mode]
        self._slots = state.slots
        self._bundle = state.bundle
        self._num_cores = state.num_cores if state.policy == POLICY_AUTO else 0
        if isinstance(state, MaccelState):
            self._take_policies(state)

    def _take_policies(self, state: MaccelState) -> None:
        """Take what only one package has. Whatever is undefined is as in a fresh configuration."""
        self.schedule_policy = _SCHEDULES.get(state.schedule, SchedulePolicy.FIFO)
        self.maintenance_policy = _MAINTENANCE.get(state.maintenance, MaintenancePolicy.Maintain)
        self.latency_set_policy = LatencySetPolicy(state.latency_set)
        self.early_latencies = [min(number, MOST_LATENCY) for number in state.early]
        self.finish_latencies = [min(number, MOST_LATENCY) for number in state.finish]

    @override
    def copy(self) -> CoreChoice:
        return CoreChoice(self._state)

    @override
    def core_mask(self) -> int:
        mask = 0
        if self._state.core_ids or self._state.clusters:
            for cluster, core in target_places(self._state):
                mask |= 1 << (_SHIFTS[cluster] + _BITS[core])
        return mask


def target_places(state: ConfigState) -> list[Place]:
    """Return the cores that a model may run on.

    Where only a number of cores was given, or nothing, these are all local ones.
    """
    if state.core_ids:
        return list(state.core_ids)
    clusters = CLUSTERS if state.mode == GLOBAL8 else sorted(set(state.clusters))
    if clusters:
        return [(one, core) for one in clusters for core in (*LOCAL_CORES, CORE_GLOBAL)]
    return [(one, core) for one in CLUSTERS for core in LOCAL_CORES]


def resolve_mode(state: ConfigState, allowed: Sequence[str]) -> int | None:
    """Return the mode that a model runs in, or None if it was not compiled for it.

    Args:
        state: the configuration; in automatic mode the first of the vendor's order is taken.
        allowed: names of the modes that the model was compiled for.
    """
    if state.mode == AUTO:
        return next((mode for mode, name in _NAMES.items() if name in allowed), None)
    wanted = GLOBAL4 if state.mode == GLOBAL else state.mode
    return state.mode if _NAMES[wanted] in allowed else None
