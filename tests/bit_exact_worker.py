"""Run one model in every way there is, and store all outputs.

usage: python -m tests.bit_exact_worker MODEL INPUTS.npy OUTPUTS.npz

A process of its own for tests/test_bit_exact.py, which sets MACCEL_ISA for it.
Every array of the result is [samples, ...]; its name is "WAY/OUTPUT".
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import anyio
import numpy as np
from numpy.typing import NDArray

import maccel_aio
import maccel_aio.sync

Array = NDArray[np.float32]
Outputs = list[list[Array]]
Order = Literal["submit", "complete"]


def run_sync(path: str, inputs: Array) -> Outputs:
    """Run one blocking call after the other."""
    with maccel_aio.sync.load(path) as model:
        return [model.infer(x) for x in inputs]


def run_sync_batch(path: str, inputs: Array) -> Outputs:
    """Run all samples as one batch."""
    with maccel_aio.sync.load(path) as model:
        batched = model.infer(inputs)
    return [[output[i] for output in batched] for i in range(len(inputs))]


async def run_async(path: str, inputs: Array, in_flight: int) -> Outputs:
    """Run awaited calls, at most ``in_flight`` at a time, each with an input of its own."""
    results: dict[int, list[Array]] = {}
    limiter = anyio.CapacityLimiter(in_flight)

    async def one(model: maccel_aio.Model, index: int) -> None:
        async with limiter:
            results[index] = await model.infer(inputs[index])

    async with maccel_aio.load(path) as model, anyio.create_task_group() as tasks:
        for index in range(len(inputs)):
            tasks.start_soon(one, model, index)
    return [results[index] for index in range(len(inputs))]


async def run_stream(path: str, inputs: Array, order: Order, depth: int) -> Outputs:
    """Run a stream and put its results back into the order of the source."""
    results: dict[int, list[Array]] = {}
    async with (
        maccel_aio.load(path) as model,
        model.stream(list(inputs), order=order, depth=depth) as stream,
    ):
        async for item in stream:
            results[item.index] = list(item.outputs)
    return [results[index] for index in range(len(inputs))]


def ways(path: str, inputs: Array) -> dict[str, Callable[[], Outputs]]:
    """Return every way to run the model, by name."""

    found: dict[str, Callable[[], Outputs]] = {
        "sync": partial(run_sync, path, inputs),
        "sync batch": partial(run_sync_batch, path, inputs),
    }
    for count in (1, 4, 16):
        found[f"async {count}"] = partial(anyio.run, run_async, path, inputs, count)
        for order in ("submit", "complete"):
            stream = partial(anyio.run, run_stream, path, inputs, order, count)
            found[f"stream {order} {count}"] = stream
    return found


def main(arguments: Sequence[str]) -> None:
    path, inputs_path, outputs_path = arguments
    inputs = np.load(inputs_path)
    stored: dict[str, Any] = {}
    for way, run in ways(path, inputs).items():
        for index, samples in enumerate(zip(*run(), strict=True)):
            stored[f"{way}/{index}"] = np.stack(samples)
    np.savez(outputs_path, **stored)


if __name__ == "__main__":
    main(sys.argv[1:])
