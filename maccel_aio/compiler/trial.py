"""One choice of formats after another, each built, run on the software NPU and judged.

What is measured is the program itself, to the bit: no simulation of it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from maccel_aio.compiler import container
from maccel_aio.compiler.build import build
from maccel_aio.compiler.calibration import TappedModel
from maccel_aio.compiler.quantize import quantise
from maccel_aio.compiler.unscale import unscale

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from maccel_aio.compiler.ir import Graph
    from maccel_aio.compiler.numeric import Observed
    from maccel_aio.compiler.partition import Segment
    from maccel_aio.compiler.precision import OnNpu, PrecisionOptions
    from maccel_aio.compiler.quantize import QuantizeOptions

    Feed = Mapping[str, NDArray[Any]]
    Answers = list[list[NDArray[Any]]]
    """Per sample, the outputs in the model's order."""

    Metric = Callable[[Answers, Answers], float]
    """From the float model's answers and the program's to a figure; larger is better."""


def fork(graph: Graph, segments: Sequence[Segment]) -> tuple[Graph, list[Segment]]:
    """Return copies that can be quantised without a trace on the originals; weights are shared."""
    nodes = {
        id(node): replace(node, inputs=list(node.inputs), outputs=list(node.outputs))
        for node in graph.nodes
    }
    tensors = {name: replace(tensor) for name, tensor in graph.tensors.items()}
    parts = [replace(part, nodes=tuple(nodes[id(n)] for n in part.nodes)) for part in segments]
    return replace(graph, nodes=list(nodes.values()), tensors=tensors), parts


def noise(exact: Answers, found: Answers) -> NDArray[np.float64]:
    """Return noise over signal of every output, as powers, f64 ``[outputs]``."""
    result = []
    for k in range(len(exact[0])):
        signal = sum(float(np.square(e[k], dtype=np.float64).sum()) for e in exact)
        power = 0.0
        for e, f in zip(exact, found, strict=True):
            power += float(np.square(np.asarray(e[k], np.float64) - f[k].reshape(e[k].shape)).sum())
        result.append(power / max(signal, 1e-300))
    return np.array(result)


class Trials:
    """Builds and runs programs that differ in their formats. Used by one thread at a time.

    Args:
        graph: after the passes and after calibration, not quantised; stays so.
        segments: of the graph.
        observed: what calibration found, perhaps on other samples.
        options: how to quantise, but for the storage of tensors.
        samples: feeds to judge by.
        folder: for files; the caller removes it.
    """

    def __init__(
        self,
        graph: Graph,
        segments: Sequence[Segment],
        observed: Observed,
        options: QuantizeOptions,
        samples: Sequence[Feed],
        folder: Path,
    ) -> None:
        self.graph = graph
        self.segments = segments
        self.observed = observed
        self.options = options
        self.samples = samples
        self.path = folder / "trial.mxq"
        model = TappedModel(graph.model, graph.outputs)
        every = [model.run(sample) for sample in samples]
        self.exact: Answers = [[answer[name] for name in graph.outputs] for answer in every]

    def write(self, path: Path, precision: PrecisionOptions, on_npu: OnNpu) -> None:
        """Write a program with these formats to a file."""
        graph, segments = fork(self.graph, self.segments)
        options = replace(self.options, precision=precision)
        seen = unscale(graph, self.observed, precision.storage)
        quantise(graph, seen.stats, on_npu=on_npu, fixed=seen.fixed, options=options)
        container.write(path, build(graph, segments, seen.result, "int8").data)

    def answers(self, precision: PrecisionOptions, count: int, on_npu: OnNpu) -> Answers:
        """Return the outputs of a program with these formats for the first `count` samples."""
        self.write(self.path, precision, on_npu)
        # A thread of its own: the caller's may run an event loop, which warns of blocking calls.
        with ThreadPoolExecutor(1) as worker:
            return worker.submit(self._run, self.samples[:count]).result()

    def _run(self, samples: Sequence[Feed]) -> Answers:
        from maccel_aio import sync

        with (
            sync.Accelerator("soft:0") as device,
            sync.load(self.path, accelerator=device) as model,
        ):
            return [
                [np.array(out) for out in model.infer([sample[n] for n in self.graph.inputs])]
                for sample in samples
            ]
