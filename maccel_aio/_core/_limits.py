"""When a call is too late: its own deadline, and what the model's latency set says."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from maccel_aio.errors import DeadlineError, InvalidError

if TYPE_CHECKING:
    from maccel_aio._core._config import ModelConfig
    from maccel_aio._core._resident import Loaded


def absolute(config: ModelConfig, deadline: float | None) -> int:
    """Return when a call is too late by its own deadline: CLOCK_MONOTONIC ns, 0 for never.

    Args:
        config: of the model.
        deadline: seconds from now, or None.

    Raises:
        InvalidError: if it is no number.
        DeadlineError: if it has passed.
    """
    if deadline is None:
        return 0
    try:
        seconds = float(deadline)
    except (TypeError, ValueError):
        raise InvalidError(f"a deadline is a number of seconds, not {deadline!r}") from None
    if math.isnan(seconds):
        raise InvalidError("the deadline is not a number")
    if not config.drops_expired():
        return 0
    if seconds <= 0:
        raise DeadlineError(f"the deadline was {-seconds:g} s ago: nothing was submitted")
    return time.monotonic_ns() + int(min(seconds, 1e9) * 1e9)


def limit(loaded: Loaded, deadline_ns: int = 0) -> int:
    """Return when a call is too late, all told: as ``absolute`` does.

    Args:
        loaded: the variant that the call runs.
        deadline_ns: of ``absolute``.

    Raises:
        DeadlineError: if it cannot be done in time.
    """
    if not (loaded.finish_ns or (deadline_ns and loaded.early_ns)):
        return deadline_ns
    now_ns = time.monotonic_ns()
    limit_ns = deadline_ns
    if loaded.finish_ns:
        limit_ns = min(deadline_ns or now_ns + loaded.finish_ns, now_ns + loaded.finish_ns)
    if limit_ns - now_ns <= loaded.early_ns:
        left, need = (limit_ns - now_ns) / 1e9, loaded.early_ns / 1e9
        raise DeadlineError(f"the deadline is {left:g} s away, the model needs {need:g} s")
    return limit_ns
