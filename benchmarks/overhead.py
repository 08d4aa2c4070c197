"""What awaiting an inference costs beside the inference: a minimal model, ours beside the peers.

usage: python benchmarks/overhead.py [--rounds 5] [--requests 2000] [--loops asyncio uvloop]
                                     [--pin] [--json]

The model adds one to eight floats, so what is left is the way there and back: through our software
NPU (``infer``; ``infer`` with ``inline=True``; jobs of ``try_submit``, of arrays and of leases),
through onnxruntime's ``run_async`` and OpenVINO's ``AsyncInferQueue``, whose callbacks enter the
loop with ``call_soon_threadsafe``, and through ``asyncio.to_thread`` around a blocking onnxruntime
call; both of onnxruntime have two threads, because ``run_async`` refuses a pool of one. The last
rows are a chain: a second model that reads the first one's output, as a job and by two awaits.

Each round measures every way in turn: single round trips, then 64 in flight: 64 tasks with one
request each, or, for ``try_submit_all``, one task that submits 64 leases and awaits their jobs.
Figures are the medians of the rounds, with the range of the rate. ``--pin`` keeps the process on
one CPU.
"""

import argparse
import asyncio
import functools
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import uvloop
from numpy.typing import NDArray

import maccel_aio
from dispatch import tiny_model

X: NDArray[np.float32] = np.arange(8, dtype=np.float32).reshape(1, 8)
#: Tasks that wait at one time.
CROWD = 64
WARM = 100

#: Carries out one request, for the task of a number below CROWD.
Call = Callable[[int], Awaitable[object]]
#: Carries out so many times CROWD requests, CROWD in flight.
Many = Callable[[int], Awaitable[object]]
Way = Callable[[Path], AbstractAsyncContextManager[tuple[Call, Many]]]


def tasks(call: Call) -> tuple[Call, Many]:
    """Return a call, and many of it by CROWD tasks."""

    async def repeat(number: int, each: int) -> None:
        for _ in range(each):
            await call(number)

    async def many(each: int) -> None:
        await asyncio.gather(*(repeat(number, each) for number in range(CROWD)))

    return call, many


@asynccontextmanager
async def ours(folder: Path, inline: bool = False) -> AsyncIterator[tuple[Call, Many]]:
    """``await model.infer(array)``."""
    async with maccel_aio.Accelerator("soft:0") as acc:
        model = await acc.load(folder / "tiny.mxq", inline=inline)
        yield tasks(lambda _: model.infer(X))


@asynccontextmanager
async def our_jobs(folder: Path) -> AsyncIterator[tuple[Call, Many]]:
    """``await model.try_submit(array)``."""
    async with maccel_aio.Accelerator("soft:0") as acc:
        model = await acc.load(folder / "tiny.mxq")
        yield tasks(lambda _: model.try_submit(X))


@asynccontextmanager
async def our_leases(folder: Path, one_task: bool) -> AsyncIterator[tuple[Call, Many]]:
    """``await model.try_submit(lease)``; or, at 64 in flight, ``try_submit_all``."""
    async with maccel_aio.Accelerator("soft:0") as acc:
        model = await acc.load(folder / "tiny.mxq", max_inflight=CROWD)
        async with model.buffers(CROWD) as pool:
            leases = [pool.try_lease() for _ in range(CROWD)]
            for lease in leases:
                lease.inputs[0][...] = X
            submit = model.try_submit

            async def window(each: int) -> None:
                for _ in range(each):
                    for job in model.try_submit_all(leases):
                        await job

            call, many = tasks(lambda number: submit(leases[number]))
            yield call, window if one_task else many
            for lease in leases:
                assert (lease.outputs[0] == X + 1).all()
                lease.release()


@asynccontextmanager
async def our_chain(folder: Path, on_device: bool) -> AsyncIterator[tuple[Call, Many]]:
    """Run two models, the second one over the outputs of the first."""
    async with maccel_aio.Accelerator("soft:0") as acc:
        first = await acc.load(folder / "tiny.mxq", max_inflight=CROWD)
        second = await acc.load(folder / "tiny.mxq", max_inflight=CROWD)

        async def chained(_: int) -> object:
            return await second.infer(first.try_submit(X))

        async def awaited(_: int) -> object:
            return await second.infer(await first.try_submit(X))

        yield tasks(chained if on_device else awaited)


def session(folder: Path) -> onnxruntime.InferenceSession:
    """Open the model in onnxruntime, with two threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2  # run_async refuses a pool of one
    path = folder / "tiny.onnx"
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def finish(future: "asyncio.Future[object]", value: object) -> None:
    """Resolve a future, unless whoever waited has gone."""
    if not future.done():
        future.set_result(value)


@asynccontextmanager
async def ort_async(folder: Path) -> AsyncIterator[tuple[Call, Many]]:
    """Use onnxruntime's own asynchronous call."""
    opened, loop = session(folder), asyncio.get_running_loop()

    def done(outputs: object, future: Any, error: str) -> None:
        loop.call_soon_threadsafe(finish, future, error or outputs)

    def call(_: int) -> Awaitable[object]:
        future: asyncio.Future[object] = loop.create_future()
        opened.run_async(None, {"x": X}, done, future)
        return future

    yield tasks(call)


@asynccontextmanager
async def ort_thread(folder: Path) -> AsyncIterator[tuple[Call, Many]]:
    """Use a blocking onnxruntime call in a worker thread."""
    opened = session(folder)
    yield tasks(lambda _: asyncio.to_thread(opened.run, None, {"x": X}))


@asynccontextmanager
async def openvino_queue(folder: Path) -> AsyncIterator[tuple[Call, Many]]:
    """Use OpenVINO's queue of requests."""
    loop = asyncio.get_running_loop()
    model = openvino.Core().compile_model(folder / "tiny.onnx", "CPU")
    queue = openvino.AsyncInferQueue(model, CROWD)

    def done(request: Any, future: Any) -> None:
        output = request.get_output_tensor(0).data.copy()
        loop.call_soon_threadsafe(finish, future, output)

    queue.set_callback(done)

    def call(_: int) -> Awaitable[object]:
        future: asyncio.Future[object] = loop.create_future()
        queue.start_async({0: X}, future)
        return future

    yield tasks(call)
    queue.wait_all()


WAYS: dict[str, Way] = {
    "infer": ours,
    "infer, inline": functools.partial(ours, inline=True),
    "try_submit": our_jobs,
    "try_submit of leases": functools.partial(our_leases, one_task=False),
    "try_submit_all of leases": functools.partial(our_leases, one_task=True),
    "onnxruntime run_async": ort_async,
    "OpenVINO AsyncInferQueue": openvino_queue,
    "asyncio.to_thread": ort_thread,
    "two models, chained": functools.partial(our_chain, on_device=True),
    "two models, two awaits": functools.partial(our_chain, on_device=False),
}


async def measure(way: Way, folder: Path, requests: int) -> dict[str, float]:
    """Return the figures of one way in one round: times in microseconds, a rate a second."""
    async with way(folder) as (call, many):
        for _ in range(WARM):
            await call(0)
        await many(WARM // 10)
        trips = []
        for _ in range(requests):
            start = time.perf_counter()
            await call(0)
            trips.append((time.perf_counter() - start) * 1e6)
        each = max(requests // 16, 1)
        start = time.perf_counter()
        await many(each)
        seconds = time.perf_counter() - start
    trips.sort()
    return {
        "p50_us": statistics.median(trips),
        "p99_us": trips[len(trips) - 1 - len(trips) // 100],
        "crowd_us": seconds / each / CROWD * 1e6,
        "crowd_per_s": each * CROWD / seconds,
    }


def run(loop: str, way: Way, folder: Path, requests: int) -> dict[str, float]:
    """Measure one way in an event loop of its own."""
    runner = uvloop.run if loop == "uvloop" else asyncio.run
    return runner(measure(way, folder, requests))


def table(loops: list[str], folder: Path, rounds: int, requests: int) -> dict[str, dict[str, Any]]:
    """Return the medians of all ways in all loops, by their name."""
    figures: dict[str, list[dict[str, float]]] = {}
    for _ in range(rounds):
        for loop in loops:
            for name, way in WAYS.items():
                made = run(loop, way, folder, requests)
                figures.setdefault(f"{loop}: {name}", []).append(made)
    return {name: summed_up(every) for name, every in figures.items()}


def summed_up(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Return the medians of the rounds, and the range of the rate."""
    made: dict[str, Any] = {
        key: round(statistics.median(one[key] for one in rounds), 2) for key in rounds[0]
    }
    rates = [one["crowd_per_s"] for one in rounds]
    return made | {"crowd_per_s_range": (round(min(rates)), round(max(rates)))}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--loops", nargs="+", default=["asyncio", "uvloop"])
    parser.add_argument("--pin", action="store_true", help="stay on one CPU")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.pin:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        tiny_model(Path(folder))
        figures = table(arguments.loops, Path(folder), arguments.rounds, arguments.requests)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"{'':40} {'p50 us':>9} {'p99 us':>9} {'us at 64':>9} {'k/s at 64':>10}")
    for name, row in figures.items():
        low, high = row["crowd_per_s_range"]
        print(
            f"{name:40} {row['p50_us']:9.1f} {row['p99_us']:9.1f} {row['crowd_us']:9.1f} "
            f"{row['crowd_per_s'] / 1e3:10.1f} [{low / 1e3:.1f} .. {high / 1e3:.1f}]"
        )


if __name__ == "__main__":
    main()
