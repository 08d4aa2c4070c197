"""A second model over the outputs of a first: chained on the device beside a way through the host.

usage: python benchmarks/chain.py [FIRST.mxq SECOND.mxq] [--rounds 5] [--requests 1000] [--json]

*chained* is ``await second.infer(first.try_submit(x))``, *two awaits* is
``await second.infer(await first.try_submit(x))``; one request in flight, then eight. The same again
in a loop that another task holds for a millisecond at a time, as web handlers and drawing do.
Without files both models add one to eight floats. Microseconds; medians of interleaved rounds, the
ratio of two awaits to chained round by round, with its range.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

import maccel_aio
from maccel_aio.testing import tiny_model

Call = Callable[[], Awaitable[object]]
CROWD = 8


@asynccontextmanager
async def company(held_s: float) -> AsyncIterator[None]:
    """Let a task hold the loop for so long at a time; not at all for 0."""

    async def hold() -> None:
        while held_s:
            end = time.perf_counter() + held_s
            while time.perf_counter() < end:
                pass
            await asyncio.sleep(0)

    task = asyncio.create_task(hold())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def single(call: Call, requests: int) -> float:
    """Return the median time of a call, seconds."""
    times = []
    for _ in range(requests):
        began = time.perf_counter()
        await call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


async def crowd(call: Call, requests: int) -> float:
    """Return the time of a call with some in flight, seconds."""

    async def repeat() -> None:
        for _ in range(max(requests // CROWD, 1)):
            await call()

    began = time.perf_counter()
    await asyncio.gather(*(repeat() for _ in range(CROWD)))
    return (time.perf_counter() - began) / (max(requests // CROWD, 1) * CROWD)


async def measure(paths: list[str], rounds: int, requests: int) -> dict[str, dict[str, float]]:
    """Return the figures of all ways, by name."""
    found: dict[str, list[tuple[float, float]]] = {}
    async with maccel_aio.Accelerator() as acc:
        first, second = await acc.load(paths[0]), await acc.load(paths[1])
        shape = tuple(dim or 1 for dim in first.inputs[0].shape)
        x = np.random.default_rng(7).random(shape, np.float32) * 255

        async def chained() -> object:
            return await second.infer(first.try_submit(x))

        async def awaited() -> object:
            return await second.infer(await first.try_submit(x))

        for number in range(rounds + 1):
            for way, meter in (("one", single), (f"{CROWD} in flight", crowd)):
                for name, held_s in (("", 0.0), (", loop busy", 0.001)):
                    async with company(held_s):
                        pair = (await meter(chained, requests), await meter(awaited, requests))
                    if number:  # the first round warms up
                        found.setdefault(way + name, []).append(pair)
    return {name: summed_up(pairs) for name, pairs in found.items()}


def summed_up(pairs: list[tuple[float, float]]) -> dict[str, float]:
    """Return medians, microseconds, and the ratio with its range."""
    ratios = sorted(awaited / chained for chained, awaited in pairs)
    return {
        "chained_us": statistics.median(pair[0] for pair in pairs) * 1e6,
        "awaited_us": statistics.median(pair[1] for pair in pairs) * 1e6,
        "ratio": statistics.median(ratios),
        "least": ratios[0],
        "most": ratios[-1],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if len(arguments.models) not in (0, 2):
        parser.error("two models, or none")
    with tempfile.TemporaryDirectory() as folder:
        paths = arguments.models or [str(tiny_model(Path(folder) / "tiny.mxq"))] * 2
        figures = asyncio.run(measure(paths, arguments.rounds, arguments.requests))
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for name, row in figures.items():
        times = f"{row['chained_us']:9.1f} us chained {row['awaited_us']:9.1f} us by two awaits"
        print(f"{name:24} {times}   {row['ratio']:.2f} [{row['least']:.2f} .. {row['most']:.2f}]")


if __name__ == "__main__":
    main()
