"""Throughput with two requests in flight, and memory and load time in fresh processes."""

import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from maccel_aio import sync
from peering.artefacts import Files
from peering.engines import ENGINES, Field, our_feed, session
from peering.models import Subject
from peering.rounds import interleaved

_CHILD = Path(__file__).with_name("child.py")
_PATIENCE_S = 120


def rate(calls: list[Callable[[], object]], seconds: float) -> float:
    """Return inferences a second of `calls`, each called again and again in a thread of its own."""
    counts = [0] * len(calls)
    stop = time.perf_counter() + seconds

    def loop(index: int) -> None:
        while time.perf_counter() < stop:
            calls[index]()
            counts[index] += 1

    threads = [threading.Thread(target=loop, args=(k,)) for k in range(len(calls))]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def openvino_rate(path: Path, field: Field, seconds: float) -> Callable[[], float]:
    """Return a call that measures OpenVINO at its throughput hint, two requests in flight."""
    import openvino

    settings = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_NUM_THREADS": 2,
        "NUM_STREAMS": 2,
    }
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    queue = openvino.AsyncInferQueue(compiled, 2)
    for request in queue:
        for index, value in enumerate(compiled.inputs):
            request.set_input_tensor(index, openvino.Tensor(field.real[value.any_name]))

    def measure() -> float:
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            queue.start_async()
            count += 1
        queue.wait_all()
        return count / (time.perf_counter() - began)

    return measure


def throughput(
    subject: Subject, files: Files, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Return inferences a second in every round: ours with one and with two in flight, peers."""
    with ExitStack() as stack:
        field = Field(stack, subject, files)
        config = sync.ModelConfig()
        config.set_single_core_mode(num_cores=2)  # the constructor's shorthand has only one slot
        model = stack.enter_context(sync.load(files.ours, config=config))
        pixels = field.pixels
        feed = our_feed(model, field.real) if pixels is None else [pixels[0]]
        one = partial(model.infer, feed)
        peer = session(files.quantised["onnxruntime"], 1)
        names = [output.name for output in peer.get_outputs()]
        other = partial(peer.run, names, field.real)
        contestants: dict[str, Callable[[], float]] = {
            "ours, one request": partial(rate, [one], seconds),
            "ours": partial(rate, [one, one], seconds),
            "onnxruntime": partial(rate, [other, other], seconds),
            "openvino": openvino_rate(files.quantised["openvino"], field, seconds),
        }
        return interleaved(contestants, rounds)


def footprint(files: Files) -> dict[str, dict[str, float]]:
    """Return peak memory in bytes and warm load time in seconds of every engine."""
    found = {}
    for engine in ENGINES:
        path = files.ours if engine == "ours" else files.quantised[engine]
        command = [sys.executable, str(_CHILD), engine, str(path)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, timeout=_PATIENCE_S
            )
        except subprocess.SubprocessError as error:
            found[engine] = {"peak_bytes": math.nan, "load_s": math.nan}
            print(f"{engine} in a fresh process: {error}", file=sys.stderr)
            continue
        found[engine] = json.loads(done.stdout)
    return found


def measure(subject: Subject, files: Files, rounds: int, seconds: float) -> dict[str, Any]:
    """Return all of it."""
    return {
        "title": subject.title,
        "throughput": throughput(subject, files, rounds, max(seconds, 0.3)),
        "footprint": footprint(files),
    }
