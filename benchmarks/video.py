"""Decode, resize, infer, draw: a pipelined loop beside the naive one and the pipelines of peers.

    python benchmarks/video.py efficientnet_lite0.mxq efficientnet_lite0.onnx VIDEO [--frames 150]

Every pipeline does the same to the same frames, in order: decode with PyAV, resize with Pillow to
the model's input, classify, draw the best class onto the frame. What is printed is frames a second,
the median of interleaved rounds with least and most, beside the device alone: the model over one
array, again and again, with nothing around it. All share the CPUs of this machine.

What that allows is printed beside: the CPU time that one frame takes to decode, to resize, to draw
and to compute, each measured by itself, and how many frames a second these add up to on all CPUs.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import concurrent.futures
import os
import statistics
import time
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import maccel_aio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIDE = 224
Pixels = NDArray[Any]


def decode(path: str, frames: int) -> Iterator[Pixels]:
    """Yield decoded frames, the video from its beginning as often as it takes."""
    count = 0
    while count < frames:
        with av.open(path) as reader:
            for frame in reader.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
                count += 1
                if count == frames:
                    return


def resize(frame: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def scaled(frame: Pixels) -> Pixels:
    """What the float model of the peers takes."""
    planes = resize(frame).transpose(2, 0, 1)[np.newaxis]
    return (planes.astype(np.float32) - 127) / 128


def draw(frame: Pixels, scores: Pixels) -> Pixels:
    image = Image.fromarray(frame)
    ImageDraw.Draw(image).text((8, 8), f"class {int(scores.argmax())}", fill=(255, 255, 0))
    return np.asarray(image)


async def pipelined(model: maccel_aio.Model, path: str, frames: int) -> int:
    done = 0
    async with model.stream(decode(path, frames), prepare=resize) as results:
        async for item in results:
            draw(item.value, item.outputs[0])
            done += 1
    return done


async def naive(model: maccel_aio.Model, path: str, frames: int) -> int:
    done = 0
    for frame in decode(path, frames):
        draw(frame, (await model.infer(resize(frame)))[0])
        done += 1
    return done


async def alone(model: maccel_aio.Model, path: str, frames: int) -> int:
    one = resize(next(decode(path, 1)))
    done = 0
    async with model.stream([one] * frames, depth=8) as results:
        async for _ in results:
            done += 1
    return done


def of_onnxruntime(onnx: str) -> Callable[[str, int], int]:
    """Frames in a window over two threads, each with a session call of one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(path: str, frames: int) -> int:
        done = 0
        window: collections.deque[tuple[Pixels, concurrent.futures.Future[Any]]]
        window = collections.deque()

        def work(frame: Pixels) -> Any:
            return session.run(None, {name: scaled(frame)})[0]

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for frame in decode(path, frames):
                window.append((frame, pool.submit(work, frame)))
                if len(window) == 4:
                    first, future = window.popleft()
                    draw(first, future.result())
                    done += 1
            for first, future in window:
                draw(first, future.result())
                done += 1
        return done

    return run


def of_openvino(onnx: str) -> Callable[[str, int], int]:
    """An AsyncInferQueue tuned for throughput; the callback keeps results until their turn."""
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(onnx), "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"}
    )  # fmt: skip

    def run(path: str, frames: int) -> int:
        queue = openvino.AsyncInferQueue(compiled)
        ready: dict[int, tuple[Pixels, Pixels]] = {}
        done = 0

        def keep(request: Any, data: tuple[int, Pixels]) -> None:
            ready[data[0]] = (data[1], request.get_output_tensor(0).data.copy())

        queue.set_callback(keep)
        for index, frame in enumerate(decode(path, frames)):
            queue.start_async({0: scaled(frame)}, (index, frame))
            while done in ready:
                draw(*ready.pop(done))
                done += 1
        queue.wait_all()
        while done in ready:
            draw(*ready.pop(done))
            done += 1
        return done

    return run


def costs(path: str, frames: int) -> dict[str, float]:
    """Return the CPU time of each step around the model, seconds a frame."""
    scores = np.zeros(1000, np.float32)
    began = time.process_time()
    decoded = list(decode(path, frames))
    found = {"decode": (time.process_time() - began) / frames}
    steps: dict[str, Callable[[Pixels], Pixels]] = {
        "resize": resize, "draw": lambda frame: draw(frame, scores)
    }  # fmt: skip
    for name, step in steps.items():
        began = time.process_time()
        for frame in decoded:
            step(frame)
        found[name] = (time.process_time() - began) / frames
    return found


def print_budget(costs_s: dict[str, float], stream: float, alone: float) -> None:
    """Print what a frame costs, and the rate that the CPUs allow."""
    cpus = len(os.sched_getaffinity(0))
    costs_s["compute"] = cpus / alone
    allowed = cpus / sum(costs_s.values())
    print(
        ", ".join(f"{name} {cost * 1e3:.2f}" for name, cost in costs_s.items()), end=" ms of CPU; "
    )
    print(f"{cpus} CPUs allow {allowed:.0f} frames/s, {allowed / alone:.2f} of the device alone;")
    print(f"the stream reaches {stream / allowed:.2f} of that, {stream / alone:.2f} of the device")


async def opened(path: str) -> maccel_aio.Model:
    return await maccel_aio.load(path)


def measure(contestants: dict[str, Callable[[], int]], rounds: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            began = time.perf_counter()
            done = run()
            if number:  # the first round warms up
                rates[name].append(done / (time.perf_counter() - began))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("mxq", "onnx", "video"):
        parser.add_argument(name)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with asyncio.Runner() as runner:
        model = runner.run(opened(options.mxq))

        def ours(function: Callable[..., Any]) -> Callable[[], int]:
            return lambda: runner.run(function(model, options.video, options.frames))

        peers = {
            "onnxruntime, threads": of_onnxruntime(options.onnx),
            "OpenVINO, AsyncInferQueue": of_openvino(options.onnx),
        }
        contestants = {
            "the device alone": ours(alone),
            "maccel_aio, naive loop": ours(naive),
            "maccel_aio, stream": ours(pipelined),
        }
        for name, run in peers.items():
            contestants[name] = lambda run=run: run(options.video, options.frames)  # type: ignore[misc]
        found_s = costs(options.video, options.frames)
        rates = measure(contestants, options.rounds)
        runner.run(model.aclose())
    best = max(statistics.median(rates[name]) for name in peers)
    for name, found in rates.items():
        middle = statistics.median(found)
        print(
            f"{name:28} {middle:7.1f} frames/s [{min(found):.1f}..{max(found):.1f}]"
            f"  {middle / best:5.2f}x the best peer"
        )
    stream, alone_rate = (
        statistics.median(rates[name]) for name in ("maccel_aio, stream", "the device alone")
    )
    print_budget(found_s, stream, alone_rate)


if __name__ == "__main__":
    main()
