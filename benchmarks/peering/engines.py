"""The engines: each loads a model and returns a call that infers once, at its best settings.

onnxruntime and OpenVINO run the QDQ model that onnxruntime's own quantiser made, with bound inputs
and outputs, so that a call copies nothing in Python. OpenVINO keeps its default inference
precision: parts of a model that stayed float run in bfloat16 where the processor has it.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from maccel_aio import sync
from peering.artefacts import PIXELS, Files
from peering.models import Subject

Call = Callable[[], list[NDArray[Any]]]
Feed = dict[str, NDArray[Any]]

ENGINES = ("ours", "onnxruntime", "openvino")
INPUTS = ("best", "pixels")
"""``best``: every engine gets what it likes most. ``pixels``: all get uint8 ``[1, h, w, 3]``."""


@dataclass(frozen=True)
class Settings:
    """What can be chosen about the peers; the defaults are the fastest (``--choices``).

    Attributes:
        level: of onnxruntime's graph optimisations, a name of ``GraphOptimizationLevel``.
        spinning: whether onnxruntime's threads wait actively for their next share.
        hint: for what OpenVINO compiles, ``LATENCY`` or ``THROUGHPUT``; always one stream.
        precision: in which OpenVINO computes what is not int8; None leaves it the choice.
    """

    level: str = "ORT_ENABLE_ALL"
    spinning: bool = True
    hint: str = "LATENCY"
    precision: str | None = None


BEST = Settings()


def session(path: object, threads: int, how: Settings = BEST) -> onnxruntime.InferenceSession:
    """Return a session of onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, how.level)
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(how.spinning)))
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def onnxruntime_call(path: object, feed: Feed, threads: int, settings: Settings = BEST) -> Call:
    """Return onnxruntime with inputs and outputs bound."""
    made = session(path, threads, settings)
    names = [output.name for output in made.get_outputs()]
    first = made.run(names, feed)
    binding = made.io_binding()
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(x) for name, x in feed.items()}
    results = [onnxruntime.OrtValue.ortvalue_from_numpy(y) for y in first]
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    for name, value in zip(names, results, strict=True):
        binding.bind_ortvalue_output(name, value)

    def call() -> list[NDArray[Any]]:
        made.run_with_iobinding(binding)
        return results  # read by `outputs`

    return call


def openvino_call(
    path: object, feed: Feed, threads: int, settings: Settings = BEST, how: Any = None
) -> Call:
    """Return OpenVINO's request with bound tensors.

    Args:
        path: of the ONNX model.
        feed: input arrays.
        threads: of one inference.
        settings: what to compile for.
        how: the preprocessing that OpenVINO does itself, for pixels; a `Preprocess`, or None.
    """
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    if how is not None:
        model = _with_pixels(model, how)
    wanted = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": settings.hint,
        "NUM_STREAMS": 1,
    }
    if settings.precision is not None:
        wanted["INFERENCE_PRECISION_HINT"] = settings.precision
    compiled = core.compile_model(model, "CPU", wanted)
    request = compiled.create_infer_request()
    arrays = list(feed.values()) if how is not None else [feed[i.any_name] for i in compiled.inputs]
    for index, array in enumerate(arrays):
        request.set_input_tensor(index, openvino.Tensor(array, shared_memory=True))
    views = [request.get_output_tensor(k).data for k in range(len(compiled.outputs))]

    def call() -> list[NDArray[Any]]:
        request.infer()
        return views

    return call


def _with_pixels(model: Any, how: Any) -> Any:
    """Return the OpenVINO model with pixels as input and its own preprocessing in front."""
    from openvino import Layout, Type
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(model)
    source = steps.input()
    source.tensor().set_element_type(Type.u8).set_layout(Layout("NHWC"))
    source.model().set_layout(Layout("NCHW"))
    source.preprocess().convert_element_type(Type.f32).mean(list(how.mean)).scale(list(how.std))
    return steps.build()


class OurModel:
    """Our model in one core mode, with arrays to write to."""

    def __init__(self, stack: ExitStack, files: Files, threads: int) -> None:
        config = sync.ModelConfig(num_cores=1)
        if threads > 1:
            config.set_global4_core_mode((sync.Cluster.Cluster0,))
        self.model = stack.enter_context(sync.load(files.ours, config=config))

    def call(self, arrays: list[NDArray[Any]]) -> Call:
        """Return a call that infers `arrays` into arrays that it keeps."""
        out = self.model.infer(arrays)
        return lambda: self.model.infer(arrays, out=out)


def our_feed(model: sync.Model, feed: Feed) -> list[NDArray[Any]]:
    """Return the arrays of `feed` in the order of our inputs."""
    return [feed[spec.name] for spec in model.inputs]


class Field:
    """All engines of one model, loaded, and ready to be called in turn.

    Args:
        stack: closes what was opened.
        subject: the model.
        files: what to load.
        sample: which of the samples is fed.
    """

    def __init__(self, stack: ExitStack, subject: Subject, files: Files, sample: int = 0) -> None:
        self._stack, self._subject, self._files = stack, subject, files
        self.real = {n: np.ascontiguousarray(x[sample][None]) for n, x in subject.feeds().items()}
        self.pixels: NDArray[np.uint8] | None = None
        if subject.preprocess is not None:
            self.pixels = np.ascontiguousarray(subject.pixels()[sample][None])
        self._ours: dict[int, OurModel] = {}

    def ours(self, threads: int) -> sync.Model:
        """Return our model for a number of threads, loaded once."""
        if threads not in self._ours:
            self._ours[threads] = OurModel(self._stack, self._files, threads)
        return self._ours[threads].model

    def call(self, engine: str, inputs: str, threads: int) -> Call:
        """Return the call of an engine of `ENGINES` for inputs of `INPUTS`."""
        how, files = self._subject.preprocess, self._files
        if engine == "ours":
            model = self.ours(threads)
            pixels = [] if self.pixels is None else [self.pixels[0]]
            return self._ours[threads].call(pixels or our_feed(model, self.real))
        if inputs == "pixels" and self.pixels is not None:
            feed: Feed = {PIXELS: self.pixels}
            if engine == "openvino":
                return openvino_call(files.quantised[engine], feed, threads, how=how)
            return onnxruntime_call(files.pixels, feed, threads)
        made = openvino_call if engine == "openvino" else onnxruntime_call
        return made(files.quantised[engine], self.real, threads)
