"""Whether the fast answers are right, and who computed them."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

import maccel_aio
from peering.engines import our_feed, session
from peering.models import Subject

Arrays = list[NDArray[Any]]


def sqnr_db(real: Iterable[Arrays], found: Iterable[Arrays]) -> float:
    """Return signal over noise of the weakest output, summed over all samples, in dB."""
    powers: list[NDArray[np.float64]] = []
    for exact, other in zip(real, found, strict=True):
        row = [
            (np.square(e, dtype=np.float64).sum(), np.square(np.float64(e) - o).sum())
            for e, o in zip(exact, other, strict=True)
        ]
        powers.append(np.array(row))
    signal, noise = np.sum(powers, axis=0).T
    if not noise.all():
        return math.inf
    return float(10 * np.log10(signal / noise).min())


def agreement(real: Iterable[Arrays], found: Iterable[Arrays]) -> float:
    """Return the share of samples whose largest first output is at the same place."""
    pairs = zip(real, found, strict=True)
    return float(np.mean([e[0].argmax() == o[0].argmax() for e, o in pairs]))


def macs(model: onnx.ModelProto) -> int:
    """Return the multiply-accumulates of convolutions and matrix products; needs shapes."""
    graph = model.graph
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*graph.value_info, *graph.input, *graph.output)
    }
    shapes.update({c.name: list(c.dims) for c in graph.initializer})
    total = 0
    for node in graph.node:
        out = math.prod(shapes.get(node.output[0], [0]) or [1])
        if node.op_type == "Conv":
            total += out * math.prod(shapes[node.input[1]][1:])
        elif node.op_type == "ConvTranspose":
            kernel = math.prod(shapes[node.input[1]][1:])
            total += math.prod(shapes[node.input[0]]) * kernel
        elif node.op_type in ("Gemm", "MatMul"):
            transposed = any(a.name == "transA" and a.i for a in node.attribute)
            total += out * shapes[node.input[0]][0 if transposed else -1]
    return total


def our_macs(path: Path) -> int:
    """Return the multiply-accumulates of our file that run on the NPU."""
    layers = maccel_aio.read_manifest(path).layers
    return sum(layer.macs for layer in layers if layer.precision != "cpu")


def host_parts(path: Path) -> list[str]:
    """Return why parts of our file run on the host's own operators, a line each."""
    segments = maccel_aio.read_manifest(path).variants[0].segments
    return [segment.reason for segment in segments if segment.kind != "npu"]


class Judge:
    """Compares int8 models with the float one over some samples.

    Args:
        subject: the model.
        real: the float model's file.
        count: how many samples.
    """

    def __init__(self, subject: Subject, real: Path, count: int) -> None:
        self._subject = subject
        feeds = {name: value[:count] for name, value in subject.feeds().items()}
        rows = zip(*feeds.values(), strict=True)
        self._feeds = [dict(zip(feeds, [v[None] for v in row], strict=True)) for row in rows]
        self._real = self._answers(real)

    def _answers(self, path: Path) -> list[Arrays]:
        made = session(path, 2)
        return [made.run(None, feed) for feed in self._feeds]

    def peer(self, path: Path) -> tuple[float, float]:
        """Return SQNR in dB and agreement of a peer's int8 model."""
        return self._score(self._answers(path))

    def ours(self, model: maccel_aio.sync.Model) -> tuple[float, float]:
        """Return SQNR in dB and agreement of our model, on the same values."""
        return self._score([model.infer(our_feed(model, feed)) for feed in self._feeds])

    def _score(self, found: list[Arrays]) -> tuple[float, float]:
        return sqnr_db(self._real, found), agreement(self._real, found)
