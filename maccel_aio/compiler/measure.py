"""How far a compiled program is from the float model, layer by layer, measured by running it.

A copy of the program that also outputs every layer's result runs on the software NPU; it computes
the same bits as the program itself. The float values come from onnxruntime.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from maccel_aio.compiler.calibration import TappedModel
from maccel_aio.compiler.isa import MAX_PORTS

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from maccel_aio.compiler.ir import Graph
    from maccel_aio.compiler.partition import Segment

    Feed = Mapping[str, NDArray[Any]]

_MOST_DB = 200.0


@dataclass
class _Noise:
    """Sums over samples, of squares."""

    signal: float = 0.0
    noise: float = 0.0

    def add(self, exact: NDArray[Any], found: NDArray[Any]) -> None:
        reference = np.asarray(exact, np.float64).ravel()
        self.signal += float(np.square(reference).sum())
        self.noise += float(np.square(reference - np.asarray(found, np.float64).ravel()).sum())

    @property
    def decibel(self) -> float:
        if self.noise <= self.signal * 1e-20:
            return _MOST_DB
        return 10.0 * float(np.log10(max(self.signal, 1e-300) / self.noise))


@dataclass(frozen=True)
class Measurement:
    """Signal to quantisation noise in dB, by tensor name.

    Attributes:
        tensors: of every result that the float model has too, model outputs included.
        warning: why nothing was measured, or "".
    """

    tensors: dict[str, float] = field(default_factory=dict)
    warning: str = ""


def find_taps(graph: Graph, segments: Sequence[Segment]) -> list[list[str]]:
    """Return the comparable results in portions that one program may output beside its own."""
    known = {name for node in graph.model.graph.node for name in node.output}
    names = [
        name
        for segment in segments
        for node in segment.nodes
        for name in node.outputs
        if segment.on_npu and name in known and name not in segment.outputs
    ]
    names = [name for name in names if _is_float(graph, name) and name not in graph.outputs]
    busiest = max((len(s.inputs) + len(s.outputs) for s in segments), default=0)
    room = MAX_PORTS - max(busiest, len(graph.inputs) + len(graph.outputs))
    if room < 1:
        return [[]]
    return [names[k : k + room] for k in range(0, max(1, len(names)), room)]


def tap(
    graph: Graph, segments: Sequence[Segment], names: Sequence[str]
) -> tuple[Graph, list[Segment]]:
    """Return the graph and its segments with `names` as further outputs."""
    wanted = set(names)
    tapped = []
    for segment in segments:
        made = {name for node in segment.nodes for name in node.outputs} & wanted
        extra = [name for name in names if name in made and segment.on_npu]
        tapped.append(replace(segment, outputs=(*segment.outputs, *extra)))
    return replace(graph, outputs=[*graph.outputs, *names]), tapped


def _is_float(graph: Graph, name: str) -> bool:
    tensor = graph.tensor(name)
    return tensor.dtype == np.float32 and tensor.shape is not None


def measure(
    path: str | os.PathLike[str],
    graph: Graph,
    samples: Iterable[Feed],
    scaled: Mapping[str, NDArray[np.float64]],
) -> dict[str, float]:
    """Run a compiled file on the software NPU and compare all its outputs with the float model.

    Args:
        path: of the file; its outputs are ``graph.outputs``.
        graph: what was compiled.
        samples: feeds in the model's ONNX shapes.
        scaled: per tensor that equalisation scaled, f64 ``[c]``.

    Returns:
        Signal to quantisation noise in dB, by output.

    Raises:
        MaccelError: the file cannot be run.
    """
    # A thread of its own: the caller's may run an event loop, where blocking calls are warned of.
    with ThreadPoolExecutor(1) as worker:
        return worker.submit(_compare, path, graph, samples, scaled).result()


def _compare(
    path: str | os.PathLike[str],
    graph: Graph,
    samples: Iterable[Feed],
    scaled: Mapping[str, NDArray[np.float64]],
) -> dict[str, float]:
    from maccel_aio import sync

    found = {name: _Noise() for name in graph.outputs}
    exact = TappedModel(graph.model, graph.outputs)
    with sync.Accelerator("soft:0") as device, sync.load(path, accelerator=device) as model:
        for sample in samples:
            wanted = exact.run(sample)
            results = model.infer([np.asarray(sample[name]) for name in graph.inputs])
            for name, result in zip(graph.outputs, results, strict=True):
                found[name].add(wanted[name], _unscaled(result, scaled.get(name)))
    return {name: noise.decibel for name, noise in found.items()}


def _unscaled(value: NDArray[Any], scale: NDArray[np.float64] | None) -> NDArray[Any]:
    if scale is None:
        return value
    shape = [1] * value.ndim
    shape[1 if value.ndim >= 4 else value.ndim - 1] = len(scale)
    return value * scale.reshape(shape)
