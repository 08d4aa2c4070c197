"""Loop lag while the device computes on every CPU: how late is a timer of one millisecond?

usage: python benchmarks/lag.py MODEL.mxq [--onnx MODEL.onnx] [--rounds 3] [--seconds 2]
                                [--loops asyncio uvloop] [--json]

A task sleeps 1 ms, again and again, while the model runs back to back with two requests in flight
for each CPU. Beside it, in the same round:

* the floor: as many processes as CPUs compute as long as one inference takes, and answer through a
  descriptor that the loop polls. No code of a runtime is in it: this is what the event loop and the
  system take when all CPUs are busy;
* with ``--onnx``, onnxruntime in ``asyncio.to_thread``, one thread a CPU, and OpenVINO's
  ``AsyncInferQueue`` with a stream a CPU.

Figures are medians of the rounds, lags in milliseconds.
"""

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import numpy as np
import uvloop

import maccel_aio
import maccel_aio.sync

CPUS = len(os.sched_getaffinity(0))
Call = Callable[[], Awaitable[object]]
Way = Callable[[str], AbstractAsyncContextManager[Call]]


def _worker(asked: int, answered: int, work_s: float) -> None:
    """Compute for every token, for ever."""
    while True:
        if not os.read(asked, 1):
            os._exit(0)
        end = time.process_time() + work_s
        while time.process_time() < end:
            pass
        os.write(answered, b"x")


@asynccontextmanager
async def floor(model: str) -> AsyncIterator[Call]:
    """Let processes compute."""
    with maccel_aio.sync.load(model) as loaded:
        work_s = loaded.speedrun(20)
    loop = asyncio.get_running_loop()
    asked, ask = os.pipe()
    answers, answer = os.pipe()
    waiting: list[asyncio.Future[None]] = []
    children = []
    for _ in range(CPUS):
        children.append(os.fork())
        if not children[-1]:
            os.close(ask)
            _worker(asked, answer, work_s)

    def done() -> None:
        for _ in os.read(answers, 64):
            waiting.pop(0).set_result(None)

    def call() -> Awaitable[object]:
        future = loop.create_future()
        waiting.append(future)
        os.write(ask, b"x")
        return future

    loop.add_reader(answers, done)
    yield call
    loop.remove_reader(answers)
    for fd in (ask, asked, answers, answer):
        os.close(fd)
    for child in children:
        os.waitpid(child, 0)  # noqa: ASYNC222 - it ends at once: its pipe is closed


@asynccontextmanager
async def ours(model: str) -> AsyncIterator[Call]:
    """``await model.infer(array)``."""
    async with maccel_aio.Accelerator() as acc, acc.load(model) as loaded:
        shape = tuple(dim or 1 for dim in loaded.inputs[0].shape)
        x = np.random.default_rng(7).standard_normal(shape).astype(np.float32)
        yield lambda: loaded.infer(x)


@asynccontextmanager
async def ort_thread(model: str) -> AsyncIterator[Call]:
    """Call onnxruntime in worker threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0]
    shape = [dim if isinstance(dim, int) else 1 for dim in feed.shape]
    x = np.random.default_rng(7).standard_normal(shape).astype(np.float32)
    yield lambda: asyncio.to_thread(session.run, None, {feed.name: x})


@asynccontextmanager
async def openvino_queue(model: str) -> AsyncIterator[Call]:
    """Use OpenVINO's queue of requests."""
    import openvino

    options = {"INFERENCE_NUM_THREADS": CPUS, "NUM_STREAMS": CPUS}
    compiled = openvino.Core().compile_model(model, "CPU", options)
    shape = [dim.get_length() if dim.is_static else 1 for dim in compiled.input(0).partial_shape]
    x = np.random.default_rng(7).standard_normal(shape).astype(np.float32)
    queue, loop = openvino.AsyncInferQueue(compiled, 2 * CPUS), asyncio.get_running_loop()

    def finish(future: Any) -> None:
        if not future.done():
            future.set_result(None)

    queue.set_callback(lambda _, future: loop.call_soon_threadsafe(finish, future))

    def call() -> Awaitable[object]:
        future: asyncio.Future[None] = loop.create_future()
        queue.start_async({0: x}, future)
        return future

    yield call
    queue.wait_all()


async def lag_of(way: Way, model: str, seconds: float) -> dict[str, float]:
    """Return the figures of one way in one round."""
    async with way(model) as call:
        for _ in range(2):
            await call()
        lags, done, stop = [], 0, time.perf_counter() + seconds

        async def work() -> None:
            nonlocal done
            while time.perf_counter() < stop:
                await call()
                done += 1

        async def sleep() -> None:
            while time.perf_counter() < stop:
                began = time.perf_counter()
                await asyncio.sleep(0.001)
                lags.append((time.perf_counter() - began - 0.001) * 1e3)

        await asyncio.gather(sleep(), *(work() for _ in range(2 * CPUS)))
    p50, p99 = np.percentile(lags, [50, 99])
    return {"p50": p50, "p99": p99, "max": max(lags), "rate": done / seconds}


def table(arguments: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Measure all ways in turn, round by round."""
    ways: dict[str, tuple[Way, str]] = {
        "floor": (floor, arguments.model),
        "maccel_aio": (ours, arguments.model),
    }
    if arguments.onnx:
        ways["onnxruntime to_thread"] = (ort_thread, arguments.onnx)
        ways["OpenVINO AsyncInferQueue"] = (openvino_queue, arguments.onnx)
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(arguments.rounds):
        for loop in arguments.loops:
            for name, (way, model) in ways.items():
                run: Any = uvloop.run if loop == "uvloop" else asyncio.run
                made = run(lag_of(way, model, arguments.seconds))
                found.setdefault(f"{loop}: {name}", []).append(made)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--onnx", help="the same model, for the peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--loops", nargs="+", default=["asyncio", "uvloop"])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = table(arguments)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{'':34} {'p50':>6} {'p99':>6} {'(min to max)':>16} {'max':>7} {'per s':>8}")
    for name, rows in found.items():
        middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        p99 = sorted(row["p99"] for row in rows)
        spread = f"({p99[0]:.2f} to {p99[-1]:.2f})"
        print(
            f"{name:34} {middle['p50']:6.2f} {middle['p99']:6.2f} {spread:>16} "
            f"{middle['max']:7.2f} {middle['rate']:8.1f}"
        )


if __name__ == "__main__":
    main()
