"""What a request costs beside computing: round trips, wake-ups, and doing nothing.

usage: python benchmarks/dispatch.py [--requests 3000] [--idle 10] [--json]

A model that only adds one to eight floats goes through the devices ``null`` (completes at once)
and ``soft`` (a core runs it), one request in flight: from a blocking caller, from asyncio, and from
asyncio with 2 ms between requests, so that every thread is asleep when one comes. The native
``bench_dispatch`` prints the same without Python. Times are microseconds. Idle is the processor
time of this process while a loop with a loaded model sleeps, in percent of one CPU.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import maccel_aio
from maccel_aio import sync

X: NDArray[np.float32] = np.arange(8, dtype=np.float32).reshape(1, 8)
#: Requests before the first that counts: threads start, spinning learns what it brings.
WARM = 200


def tiny_model(folder: Path) -> Path:
    """Compile ``y = x + 1`` for float32 ``[1, 8]``."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "one"], ["y"])], "tiny",
        [value("x", TensorProto.FLOAT, [1, 8])], [value("y", TensorProto.FLOAT, [1, 8])],
        [numpy_helper.from_array(np.ones((1, 8), np.float32), "one")],
    )  # fmt: skip
    source = folder / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), source)
    target = folder / "tiny.mxq"
    maccel_aio.compile(source, target, calibration={"x": X})
    return target


def spread(seconds: list[float]) -> dict[str, float]:
    """Return median and 99th percentile of times, in microseconds."""
    ordered = sorted(seconds)
    return {
        "p50_us": round(statistics.median(ordered) * 1e6, 2),
        "p99_us": round(ordered[len(ordered) - 1 - len(ordered) // 100] * 1e6, 2),
    }


def timed(call: Callable[[], object]) -> float:
    """Return how long a call took, in seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def blocking_trips(path: Path, device: str, count: int) -> dict[str, float]:
    """Time ``infer`` of the blocking face."""
    with sync.Accelerator(device) as acc, acc.load(path) as model:
        for _ in range(WARM):
            model.infer(X)
        return spread([timed(lambda: model.infer(X)) for _ in range(count)])


async def loop_trips(path: Path, device: str, count: int, pause: float) -> dict[str, Any]:
    """Time ``infer`` of the asynchronous face, and how long a core took to begin."""
    trips: list[float] = []
    wakes: list[float] = []
    async with maccel_aio.Accelerator(device) as acc:
        model = await acc.load(path)
        for number in range(-WARM, count):
            if pause and number >= 0:
                await asyncio.sleep(pause)
            start = time.perf_counter()
            job = await model.submit(X)
            await job
            if number >= 0:
                trips.append(time.perf_counter() - start)
                wakes.append((job.timing.t_start - job.timing.t_submit) / 1e9)
    return spread(trips) | {"until a core begins": spread(wakes)}


async def idle_share(path: Path, seconds: float) -> float:
    """Return the share of one CPU that a loop with a loaded, used model takes while it sleeps."""
    async with maccel_aio.Accelerator("soft:0") as acc:
        model = await acc.load(path)
        for _ in range(WARM):
            await model.infer(X)
        before = time.process_time()
        await asyncio.sleep(seconds)
        return (time.process_time() - before) / seconds


def measure(path: Path, requests: int, idle: float) -> dict[str, Any]:
    """Return all figures by name."""
    figures: dict[str, Any] = {"cpus": len(os.sched_getaffinity(0))}
    for device in ("null:0", "soft:0"):
        figures[f"{device} blocking"] = blocking_trips(path, device, requests)
        figures[f"{device} asyncio"] = asyncio.run(loop_trips(path, device, requests, 0.0))
    calm = asyncio.run(loop_trips(path, "soft:0", min(requests, 500), 0.002))
    figures["soft:0 asyncio, 2 ms apart"] = calm
    if idle:
        share = asyncio.run(idle_share(path, idle))
        figures[f"idle for {idle:g} s, % of a CPU"] = round(100 * share, 4)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--idle", type=float, default=10.0, help="seconds; 0 = leave it out")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(tiny_model(Path(folder)), arguments.requests, arguments.idle)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:32} {value}")


if __name__ == "__main__":
    main()
