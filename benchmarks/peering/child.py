"""A fresh process that serves one model: prints its peak memory and its warm load time as JSON.

usage: python child.py ours|onnxruntime|openvino MODEL
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

_INFERS = 20
_LOADS = 5


def ours(path: str) -> Callable[[], object]:
    """Load our model; return a call that infers."""
    from maccel_aio import sync

    model = sync.load(path, config=sync.ModelConfig(num_cores=1))
    feed = []
    for spec in model.inputs:
        shape, kind = list(spec.shape), np.dtype(spec.dtype)
        if spec.preprocess is not None:
            shape, kind = [*shape[2:], shape[1]], np.dtype(np.uint8)
        feed.append(np.zeros(shape, kind))

    def call() -> object:
        return model.infer(feed)

    call.close = model.close  # type: ignore[attr-defined]
    return call


def onnxruntime(path: str) -> Callable[[], object]:
    """Load a model in onnxruntime; return a call that infers."""
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {i.name: np.zeros(i.shape, _KINDS[i.type]) for i in session.get_inputs()}
    return lambda: session.run(None, feed)


_KINDS: dict[str, Any] = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


def openvino(path: str) -> Callable[[], object]:
    """Load a model in OpenVINO; return a call that infers."""
    import openvino as runtime

    settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    compiled = runtime.Core().compile_model(path, "CPU", settings)
    request = compiled.create_infer_request()
    feed = [np.zeros(list(i.shape), i.element_type.to_dtype()) for i in compiled.inputs]
    return lambda: request.infer(feed)


def peak_bytes() -> int:
    """Return the most memory that this process ever had (VmHWM)."""
    with open("/proc/self/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main() -> None:
    load = {"ours": ours, "onnxruntime": onnxruntime, "openvino": openvino}[sys.argv[1]]
    call = load(sys.argv[2])
    for _ in range(_INFERS):
        call()
    memory = peak_bytes()
    times = []
    for _ in range(_LOADS):
        getattr(call, "close", lambda: None)()
        del call
        start = time.perf_counter()
        call = load(sys.argv[2])
        times.append(time.perf_counter() - start)
    getattr(call, "close", lambda: None)()
    print(json.dumps({"peak_bytes": memory, "load_s": statistics.median(times)}))


if __name__ == "__main__":
    main()
