"""A pure-Python thread that never lets go of the GIL: what is left of the device's throughput?

usage: python benchmarks/hog.py [--rounds 3] [--requests 3000] [--depths 16 64 256]
                                [--interval 0.005] [--json]

A core that takes 200 us for each request gets them from an event loop, so many in flight, with and
without a thread beside it that counts in Python. What the device does without Python is measured in
the same round: all requests are queued at once, and its own clock tells when the first one began
and the last was done. Figures are medians of the rounds, in percent of that.

A thread that wants the GIL from one that computes waits for ``sys.getswitchinterval()``, 5 ms,
whatever it does. So the queue must hold as much work: at 200 us that is 25 requests. A program may
set a shorter interval, ``sys.setswitchinterval()``; ``--interval`` shows what that brings.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from numpy.typing import NDArray

import maccel_aio
from maccel_aio.testing import tiny_model

DEVICE = "fault:soft:0?cores=1&delay_ms=0.2"
X: NDArray[np.float32] = np.arange(8, dtype=np.float32)
ALL = 1024


@contextmanager
def hog() -> Iterator[None]:
    """Count in another thread."""
    stop = False

    def count() -> None:
        number = 0
        while not stop:
            number += 1

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield
    finally:
        stop = True
        thread.join()


async def alone(model: maccel_aio.Model) -> float:
    """Return the requests a second of the device by itself."""
    jobs = [model.try_submit(X) for _ in range(ALL)]
    for job in jobs:
        await job
    began = min(job.timing.t_start for job in jobs)
    return ALL / (max(job.timing.t_done for job in jobs) - began) * 1e9


async def through_python(model: maccel_aio.Model, depth: int, requests: int) -> float:
    """Return the requests a second of so many tasks."""

    async def one() -> None:
        for _ in range(requests // depth):
            await model.infer(X)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(depth)))
    return requests // depth * depth / (time.perf_counter() - began)


async def measure(path: Path, depths: list[int], requests: int) -> dict[str, float]:
    """Measure everything once."""
    figures = {}
    async with maccel_aio.Accelerator(DEVICE) as acc:
        model = await acc.load(path, maccel_aio.ModelConfig(1), max_inflight=ALL)
        await through_python(model, 16, 200)
        figures["device alone"] = await alone(model)
        for depth in depths:
            for name, guest in (("", nullcontext()), (", GIL hog", hog())):
                with guest:
                    rate = await through_python(model, depth, requests)
                figures[f"{depth} in flight{name}"] = rate
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--depths", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--loops", nargs="+", default=["asyncio", "uvloop"])
    parser.add_argument("--interval", type=float, default=sys.getswitchinterval())
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    sys.setswitchinterval(arguments.interval)
    found: dict[str, list[dict[str, float]]] = {loop: [] for loop in arguments.loops}
    with tempfile.TemporaryDirectory() as folder:
        path = tiny_model(Path(folder) / "tiny.mxq")
        for _ in range(arguments.rounds):
            for loop, rows in found.items():
                run: Any = uvloop.run if loop == "uvloop" else asyncio.run
                rows.append(run(measure(path, arguments.depths, arguments.requests)))
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for loop, rows in found.items():
        for name in rows[0]:
            rate = statistics.median(row[name] for row in rows)
            shares = sorted(row[name] / row["device alone"] * 100 for row in rows)
            spread = f"{statistics.median(shares):5.1f} % ({shares[0]:.1f} to {shares[-1]:.1f})"
            print(f"{loop:8} {name:24} {rate:8.0f} /s {spread}")


if __name__ == "__main__":
    main()
