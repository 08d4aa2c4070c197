"""Accelerators that misbehave as they are told."""

from __future__ import annotations

import itertools
import math
import threading

from maccel_aio._core._accelerator import Accelerator
from maccel_aio.errors import InvalidError

_made = itertools.count(1)
_lock = threading.Lock()


def faulty_accelerator(  # noqa: PLR0913 - one keyword a fault
    *,
    delay: float = 0.0,
    fail_every: int | None = None,
    fail_rate: float = 0.0,
    hang_every: int | None = None,
    lose_after: int | None = None,
    duplicate_every: int | None = None,
    reorder: bool = False,
    seed: int | None = None,
    cores: int | None = None,
    device: str = "soft:0",
) -> Accelerator:
    """Return an accelerator that computes right and misbehaves: use it in ``async with``.

    What happens depends on the order of submission and the seed only, so a failure can be had
    again. Each accelerator counts for itself.

    Args:
        delay: seconds that a core takes longer before it runs a request.
        fail_every: every so many requests, one ends in InferenceError.
        fail_rate: share of the requests that do, 0 to 1, drawn with ``seed``.
        hang_every: every so many requests, one never completes: it ends in DeviceLostError when
            the accelerator is closed.
        lose_after: after so many successes the device is gone: DeviceLostError for all others.
        duplicate_every: every so many requests, one completes twice, which nobody may notice.
        reorder: whether completions come in another order, drawn with ``seed``.
        seed: default: another one for each accelerator, counted from 1.
        cores: how many cores each cluster has; default: as the device has.
        device: the device that does the work.

    Raises:
        InvalidError: if a number is out of range.
    """
    if not (math.isfinite(delay) and 0 <= delay <= 1000 and 0 <= fail_rate <= 1):
        raise InvalidError(f"delay is 0 to 1000 s and fail_rate 0 to 1: {delay}, {fail_rate}")
    counts = {
        "fail_every": fail_every, "hang_every": hang_every, "lose_after": lose_after,
        "duplicate_every": duplicate_every, "cores": cores,
    }  # fmt: skip
    options = [f"delay_ms={delay * 1e3:.6f}", f"fail_rate={fail_rate:.9f}"]
    for name, count in counts.items():
        if count is None:
            continue
        if count < (name != "lose_after"):
            raise InvalidError(f"{name} must not be {count}")
        options.append(f"{name}={count}")
    with _lock:
        options.append(f"seed={next(_made) if seed is None else seed}")
    options.append(f"reorder={int(reorder)}")
    return Accelerator(f"fault:{device}?{'&'.join(options)}")
