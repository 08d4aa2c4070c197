"""What the real models cost and what they keep: time, memory, bytes and accuracy, each measured.

usage: python benchmarks/footprint.py [--infers 200] [--json]

Compiles EfficientNet-Lite0 with the 20 labelled photos and CenterFace for one portrait, serves the
classifier from a process of its own that imports the runtime alone, and compares both models with
float in onnxruntime. Memory is what the kernel says of that process: VmHWM is the most it ever had
in memory, VmRSS what it has at the end. Processor seconds stand beside the clock, because the
clock counts what else the machine does.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from maccel_aio import sync, zoo
from maccel_aio.zoo import centerface, efficientnet_lite0

SERVE = """
import sys
import numpy as np, anyio, maccel_aio
async def main(path, count):
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    async with maccel_aio.load(path) as model:
        for _ in range(count):
            await model.infer(pixels)
        with open("/proc/self/status", encoding="ascii") as file:
            print(file.read())
anyio.run(main, sys.argv[1], int(sys.argv[2]))
"""


def resident_bytes(path: Path, infers: int) -> tuple[int, int]:
    """Return VmHWM and VmRSS of a process that loads `path` and infers `infers` times."""
    command = [sys.executable, "-c", SERVE, str(path), str(infers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {
        name: int(rest.split()[0]) * 1024
        for name, _, rest in (line.partition(":") for line in done.stdout.splitlines())
        if name in ("VmHWM", "VmRSS")
    }
    return found["VmHWM"], found["VmRSS"]


def weight_count(path: Path) -> int:
    """Return how many weights of matrices and convolutions a model has: one int8 byte each."""
    weights = onnx.load(path).graph.initializer
    return sum(int(np.prod(weight.dims)) for weight in weights if len(weight.dims) > 1)


def in_float(path: Path, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the outputs of the float model, with its input bound to the shape of `x`."""
    model = onnx.load(path)
    weights = {tensor.name for tensor in model.graph.initializer}
    (value,) = [value for value in model.graph.input if value.name not in weights]
    for dim, size in zip(value.type.tensor_type.shape.dim, x.shape, strict=True):
        dim.dim_value = size
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    outputs: list[NDArray[np.float32]] = session.run(None, {value.name: x})
    return outputs


def classifier_figures(folder: Path, infers: int) -> dict[str, Any]:
    """Compile and serve EfficientNet-Lite0, and compare it with float on the photos."""
    source, path = zoo.get("efficientnet_lite0"), folder / "efficientnet_lite0.mxq"
    pictures = sorted(zoo.get("photos").iterdir())
    clock, cpu = time.perf_counter(), time.process_time()
    zoo.compile_model("efficientnet_lite0", path)
    seconds, cpu_seconds = time.perf_counter() - clock, time.process_time() - cpu
    peak, resident = resident_bytes(path, infers)
    pixels = np.stack([efficientnet_lite0.prepare(Image.open(p)) for p in pictures])
    how = efficientnet_lite0.PREPROCESS
    real = ((pixels.astype(np.float32) - how["mean"]) / how["std"]).transpose(0, 3, 1, 2)
    (exact,) = in_float(source, np.ascontiguousarray(real, np.float32))
    with sync.load(path) as model:
        (found,) = model.infer(pixels)
    truth = np.array([int(p.stem.rsplit("_", 1)[1]) for p in pictures])
    noise = np.square(exact.astype(np.float64) - found).sum()
    return {
        "compile_seconds": seconds,
        "compile_cpu_seconds": cpu_seconds,
        "peak_resident_bytes": peak,
        "resident_bytes": resident,
        "file_bytes": path.stat().st_size,
        "file_per_weight_byte": path.stat().st_size / weight_count(source),
        "right_of_20": int((found.argmax(axis=1) == truth).sum()),
        "right_of_20_in_float": int((exact.argmax(axis=1) == truth).sum()),
        "output_sqnr_db": float(10 * np.log10(np.square(exact.astype(np.float64)).sum() / noise)),
    }


def detector_figures(folder: Path) -> dict[str, Any]:
    """Compile CenterFace for the portrait, and compare its face with the float model's."""
    path = folder / "centerface.mxq"
    clock, cpu = time.perf_counter(), time.process_time()
    zoo.compile_model("centerface", path, size=(512, 512))
    seconds, cpu_seconds = time.perf_counter() - clock, time.process_time() - cpu
    with Image.open(zoo.get("astronaut")) as portrait:
        pixels, scale = centerface.prepare(portrait, 512, 512)
    planes = pixels.transpose(2, 0, 1)[None].astype(np.float32)
    (exact,) = centerface.decode(in_float(zoo.get("centerface"), planes), scale)
    with sync.load(path) as model:
        (found,) = centerface.decode(model.infer(pixels), scale)
    return {
        "compile_seconds": seconds,
        "compile_cpu_seconds": cpu_seconds,
        "score": found.score,
        "score_in_float": exact.score,
        "iou_with_float": centerface.iou(found.box, exact.box),
    }


def show(name: str, figures: dict[str, Any]) -> None:
    """Print figures, bytes in MB."""
    print(name)
    for figure, value in figures.items():
        if figure.endswith("_bytes"):
            print(f"  {figure.removesuffix('_bytes'):24} {value / 1e6:.1f} MB")
        else:
            print(
                f"  {figure:24} {value:.3f}"
                if isinstance(value, float)
                else f"  {figure:24} {value}"
            )


def main() -> None:
    """Measure everything once and print it."""
    parser = argparse.ArgumentParser(description="memory, time, bytes and accuracy of real models")
    parser.add_argument("--infers", type=int, default=200, help="before memory is read")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        figures = {
            "EfficientNet-Lite0": classifier_figures(Path(made), args.infers),
            "CenterFace 512x512": detector_figures(Path(made)),
        }
    if args.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, values in figures.items():
            show(name, values)


if __name__ == "__main__":
    main()
