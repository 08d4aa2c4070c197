"""What several requests in flight gain where a part of a model runs on the CPU.

python benchmarks/offload.py [--seconds 1] [--rounds 5]

Two bundles of the NPU with a part for onnxruntime between them. One request after the other leaves
the device idle while the host computes; with several in flight, one is on the device while another
is on the host. Prints the time of each segment, requests a second both ways in turn, and what is
possible: the sum of the segments' times over the longest.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import anyio
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import maccel_aio
from maccel_aio.cli._segments import SegmentFigure, measure_segments

IN_FLIGHT = 4


def network(size: int = 56, channels: int = 64) -> bytes:
    """Return convolutions, Selu and Softsign, convolutions, as an ONNX file."""
    rng = np.random.default_rng(1)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def conv(x: str) -> str:
        name = f"t{len(nodes)}"
        values = rng.normal(0, (channels * 9) ** -0.5, (channels, channels, 3, 3))
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"w{name}"))
        nodes.append(helper.make_node("Conv", [x, f"w{name}"], [f"c{name}"], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{name}"], [name]))
        return name

    middle = conv(conv("x"))
    nodes.append(helper.make_node("Selu", [middle], ["s"]))
    nodes.append(helper.make_node("Softsign", ["s"], ["t"]))
    last = conv(conv("t"))
    nodes.append(helper.make_node("Identity", [last], ["y"]))
    x, y = (
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, channels, size, size]) for n in "xy"
    )
    graph = helper.make_graph(nodes, "offload", [x], [y], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(made.SerializeToString())


async def rate(model: maccel_aio.Model, x: np.ndarray, depth: int, seconds: float) -> float:
    """Return requests a second with `depth` of them in flight."""
    done, began = 0, time.perf_counter()

    async def one() -> None:
        nonlocal done
        while time.perf_counter() - began < seconds:
            await model.infer(x)
            done += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(depth):
            tasks.start_soon(one)
    return done / (time.perf_counter() - began)


async def measure(path: Path, seconds: float, rounds: int) -> None:
    """Measure and print."""
    rng = np.random.default_rng(2)
    async with maccel_aio.Accelerator() as acc:
        config = maccel_aio.ModelConfig(1)
        async with await acc.load(path, config) as model:
            x = rng.normal(0, 1, model.inputs[0].shape).astype(np.float32)
            await rate(model, x, IN_FLIGHT, 0.3)
            alone, several = [], []
            for _ in range(rounds):
                alone.append(await rate(model, x, 1, seconds))
                several.append(await rate(model, x, IN_FLIGHT, seconds))
            segments = await measure_segments(model, [x])
    show(segments, alone, several)


def show(segments: list[SegmentFigure], alone: list[float], several: list[float]) -> None:
    """Print the figures."""
    times = [one.seconds or 0.0 for one in segments]
    for one, took in zip(segments, times, strict=True):
        print(f"{one.name}: {one.share:6.1%} of the work, {took * 1e3:7.3f} ms")
    for name, values in (("one at a time", alone), (f"{IN_FLIGHT} in flight", several)):
        spread = f"[{min(values):.1f} .. {max(values):.1f}]"
        print(f"{name}: {statistics.median(values):.1f} a second {spread}")
    gains = [b / a for a, b in zip(alone, several, strict=True)]
    print(f"gain: {statistics.median(gains):.2f} [{min(gains):.2f} .. {max(gains):.2f}]")
    print(f"possible with a thread for each segment: {sum(times) / max(times):.2f}")


def main() -> None:
    """Compile, measure, print."""
    show_text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=show_text)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a part of a round")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "offload.mxq"
        x = np.random.default_rng(3).normal(0, 1, (8, 1, 64, 56, 56)).astype(np.float32)
        maccel_aio.compile(network(), path, calibration={"x": x}, measure=0)
        anyio.run(measure, path, args.seconds, args.rounds)


if __name__ == "__main__":
    main()
