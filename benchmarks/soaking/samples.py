"""What the process holds, over time: memory, descriptors, threads; and whether that grows."""

import ctypes
import gc
import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

PAGE = os.sysconf("SC_PAGE_SIZE")
#: Bytes that resident memory may gain in ten minutes.
MOST_GROWTH = 1 << 20


class Sample(NamedTuple):
    """One look at the process, at a moment when nothing of a scene is left."""

    seconds: float
    rss: int
    fds: int
    threads: int


def _give_back() -> None:
    """Let the C library return free memory: what it keeps for later comes and goes by megabytes."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc only
    if trim is not None:
        trim(0)


def look(began: float) -> Sample:
    """Take a sample; ``began`` is when time began, by ``time.monotonic``."""
    gc.collect()
    _give_back()
    rss = int(Path("/proc/self/statm").read_text("ascii").split()[1]) * PAGE
    fds, threads = (len(list(Path("/proc/self", name).iterdir())) for name in ("fd", "task"))
    # anyio's own: one that had nothing to do for ten seconds ends when the next one is asked for.
    threads -= sum(thread.name == "AnyIO worker thread" for thread in threading.enumerate())
    return Sample(time.monotonic() - began, rss, fds, threads)


def slope(samples: list[Sample]) -> float:
    """Return the growth of resident memory in bytes per ten minutes: the line of least squares."""
    mean_t = sum(s.seconds for s in samples) / len(samples)
    mean_r = sum(s.rss for s in samples) / len(samples)
    spread = sum((s.seconds - mean_t) ** 2 for s in samples)
    common = sum((s.seconds - mean_t) * (s.rss - mean_r) for s in samples)
    return common / spread * 600 if spread else 0.0


def grown(samples: list[Sample]) -> list[str]:
    """Return what leaks: growth of memory, or more descriptors or threads than there were.

    Descriptors and threads come and go with worker threads, but the fewest of a later half are no
    more than the fewest of an earlier half, unless some stay behind.
    """
    found = []
    half = len(samples) // 2
    if half < 2:
        return ["too few samples to tell"]
    growth = slope(samples)
    if growth > MOST_GROWTH:
        found.append(f"resident memory grows by {growth / 2**20:.2f} MiB in ten minutes")
    for name in ("fds", "threads"):
        before, after = (
            min(getattr(s, name) for s in part) for part in (samples[:half], samples[half:])
        )
        if after > before:
            found.append(f"{name} grew from {before} to {after}")
    return found
