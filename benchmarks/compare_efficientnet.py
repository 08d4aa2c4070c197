"""EfficientNet-Lite0 in int8, ours beside onnxruntime's, in one process and in turn.

usage: python benchmarks/compare_efficientnet.py [--rounds 7] [--seconds 1] [--openvino] [--json]

Every engine gets one thread and the same float model, calibrated with the same photos;
onnxruntime's own quantiser (static, per channel, QDQ) makes its model. Rounds are interleaved, so
that a change of the machine's speed meets all engines; the ratio is taken inside each round.
Accuracy is counted on the 20 labelled photos beside, because a fast wrong answer is no answer.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("MACCEL_THREADS", "1")

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime import quantization
from PIL import Image

from maccel_aio import sync, zoo
from maccel_aio.zoo import efficientnet_lite0

Runner = Callable[[NDArray[Any]], NDArray[Any]]


def photos() -> tuple[NDArray[np.uint8], list[int]]:
    """Return the labelled photos as pixels, and their classes."""
    paths = sorted(zoo.get("photos").iterdir())
    pixels = [efficientnet_lite0.prepare(Image.open(path)) for path in paths]
    return np.stack(pixels), [int(path.stem.rsplit("_", 1)[1]) for path in paths]


def as_floats(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return pixels as the float model wants them, ``[n, 3, 224, 224]``."""
    how = efficientnet_lite0.PREPROCESS
    real = (pixels.astype(np.float32) - how["mean"]) / how["std"]
    return np.ascontiguousarray(real.transpose(0, 3, 1, 2), np.float32)


class Photos(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Feeds the photos to onnxruntime's quantiser."""

    def __init__(self, floats: NDArray[np.float32]) -> None:
        self._feeds = ({"input": x[None]} for x in floats)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next feed."""
        return next(self._feeds, None)


def quantise(source: Path, target: Path, floats: NDArray[np.float32]) -> None:
    """Write onnxruntime's int8 version of a model: its own preparation and best settings."""
    prepared = target.with_suffix(".prepared.onnx")
    quantization.shape_inference.quant_pre_process(str(source), str(prepared))
    quantization.quantize_static(
        str(prepared),
        str(target),
        Photos(floats),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )


def onnxruntime_runner(path: Path) -> Runner:
    """Return onnxruntime at one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"input": x})[0]


def openvino_runner(path: Path) -> Runner:
    """Return OpenVINO at one thread, tuned for latency."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()
    return lambda x: request.infer({0: x}, share_inputs=True)[0]


def time_one(runner: Runner, sample: NDArray[Any], seconds: float) -> float:
    """Return the median time of a call in seconds."""
    times, began = [], time.perf_counter()
    while (start := time.perf_counter()) - began < seconds:
        runner(sample)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def accuracy(runner: Runner, inputs: NDArray[Any], truth: list[int]) -> int:
    """Return how many photos are classified right."""
    pairs = zip(inputs, truth, strict=True)
    return sum(int(runner(x[None]).argmax()) == label for x, label in pairs)


def measure(
    runners: dict[str, tuple[Runner, NDArray[Any]]], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Return the median latency of every engine in every round; one more round warms up."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    for number in range(rounds + 1):
        for name, (runner, inputs) in runners.items():
            taken = time_one(runner, inputs[:1], seconds)
            if number:
                times[name].append(taken)
    return times


def summarise(
    times: dict[str, list[float]], right: dict[str, int], count: int
) -> list[dict[str, Any]]:
    """Return a row per engine; a ratio above 1 means that ours is faster."""
    ours = times["maccel_aio"]
    rows = []
    for name, values in times.items():
        ratios = [value / own for value, own in zip(values, ours, strict=True)]
        rows.append(
            {
                "engine": name,
                "ms": [1e3 * f(values) for f in (statistics.median, min, max)],
                "ratio": [f(ratios) for f in (statistics.median, min, max)],
                "right": f"{right[name]}/{count}",
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="per engine and round")
    parser.add_argument("--openvino", action="store_true", help="measure OpenVINO too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    pixels, truth = photos()
    floats = as_floats(pixels)
    with tempfile.TemporaryDirectory() as room:
        ours, theirs = Path(room, "model.mxq"), Path(room, "model.int8.onnx")
        zoo.compile_model("efficientnet_lite0", ours)
        quantise(zoo.get("efficientnet_lite0"), theirs, floats)
        with sync.load(ours) as model:
            runners: dict[str, tuple[Runner, NDArray[Any]]] = {
                "maccel_aio": (lambda x: model.infer(x)[0], floats),
                "maccel_aio, pixels": (lambda x: model.infer(x)[0], pixels),
                "onnxruntime": (onnxruntime_runner(theirs), floats),
            }
            if args.openvino:
                runners["openvino"] = (openvino_runner(theirs), floats)
            right = {name: accuracy(*pair, truth) for name, pair in runners.items()}
            rows = summarise(measure(runners, args.rounds, args.seconds), right, len(truth))
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"EfficientNet-Lite0, int8, one thread, {args.rounds} rounds: median [min .. max]")
    for row in rows:
        ms, ratio = ("{:.2f} [{:.2f} .. {:.2f}]".format(*row[key]) for key in ("ms", "ratio"))
        print(f"  {row['engine']:20} {ms:26} ms   ratio {ratio:24} right {row['right']}")


if __name__ == "__main__":
    main()
