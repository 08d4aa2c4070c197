"""Cross-validated equalisation: channels of one tensor share its 8 bits more evenly.

Between two layers, channel c may be divided by s[c] if the weights that read it are multiplied by
s[c]: that costs nothing at run time. Small channels then use more of the common range. What the
scales are fitted to is never what judges them: ranges come from three quarters of the pictures,
the error from the rest, and values that clip count sixteen times. Without that, a scale fitted to
the samples' maxima clips on other pictures and makes things far worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import Activation, ConvWeights, Graph, Node
from maccel_aio.compiler.precision import WEIGHTED, OnNpu, PrecisionOptions, choose

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from maccel_aio.compiler.calibration import TensorStats

    Floats = NDArray[np.float64]

_GAIN = 0.8
_CLIPPED = 16.0
_ROUNDING = 0.25
_FOLDS = (0, 2)
_MIN_PICTURES = 8
_JUDGE_ROWS = 440


@dataclass(frozen=True)
class Link:
    """A tensor whose channels may be scaled: one layer writes it, only layers read it."""

    tensor: str
    maker: Node
    readers: tuple[Node, ...]


@dataclass(frozen=True)
class _Reader:
    """What scaling costs in the weights of one reading layer.

    Attributes:
        channel: input channel of each weight, ``[o, i]``.
        largest: largest weight over the taps, ``[o, i]``.
        energy: sum of squared weights per input channel, times the outputs' positions, ``[c]``.
        taps: kernel positions.
        places: positions of the output.
    """

    channel: NDArray[np.intp]
    largest: Floats
    energy: Floats
    taps: int
    places: float


def find_links(graph: Graph, on_npu: OnNpu, precision: PrecisionOptions) -> list[Link]:
    """Return the tensors that can be equalised, in the order of the graph."""
    makers, readers = graph.producers(), graph.consumers()
    links = []
    for group in choose(graph, on_npu, precision):
        name = group.members[0]
        maker = makers.get(name)
        if len(group.members) > 1 or group.dtype != "u8" or maker is None:
            continue
        found = tuple(readers[name])
        if not (_scalable(maker) and found and all(map(on_npu, (maker, *found)))):
            continue
        if all(_reads(node, name, maker) for node in found):
            links.append(Link(name, maker, found))
    return links


def _scalable(maker: Node) -> bool:
    """Whether dividing a channel's weights and bias divides its output."""
    if maker.op not in WEIGHTED or maker.weights is None or maker.residual is not None:
        return False
    return maker.act is None or _homogeneous(maker.act)


def _homogeneous(act: Activation) -> bool:
    """Whether scaling commutes with it; an upper bound is taken over by the range of the codes."""
    return (act.kind == "clamp" and act.a == 0.0) or act.kind in ("none", "leaky", "prelu")


def _upper_bound(maker: Node) -> float:
    """Largest value that the maker's activation lets through."""
    return maker.act.b if maker.act is not None and maker.act.kind == "clamp" else np.inf


def _reads(node: Node, name: str, maker: Node) -> bool:
    same_kind = (node.op == "Linear") == (maker.op == "Linear")
    return (
        node.op in WEIGHTED
        and node.weights is not None
        and same_kind
        and (node.inputs[0] == name and name not in node.inputs[1:])
    )


def equalise(
    graph: Graph, links: list[Link], stats: Mapping[str, TensorStats], pictures: int
) -> dict[str, Floats]:
    """Scale channels where that pays; weights and statistics are changed accordingly.

    Args:
        graph: before quantisation; weights are replaced.
        links: of `find_links`.
        stats: with rows of the links' tensors; changed in place.
        pictures: how many distinct pictures there are; sample n shows picture ``n % pictures``.

    Returns:
        Per scaled tensor, f64 ``[c]``: the graph now holds the float model's value over this.
    """
    done: dict[str, Floats] = {}
    if pictures < _MIN_PICTURES:
        return done
    for link in links:
        found = stats.get(link.tensor)
        if found is None or not found.rows:
            continue
        scale = _Search(graph, link, found, pictures).best()
        if scale is not None:
            _apply(link, found, scale)
            done[link.tensor] = scale
    return done


def _channels(node: Node) -> NDArray[np.intp]:
    """Return the input channel of each weight, ``[o, i]``."""
    if node.weights is None:
        return np.zeros((0, 0), np.intp)
    outputs, per_group = node.weights.kernel.shape[:2]
    group = np.arange(outputs) // max(1, outputs // int(node.attrs.get("group", 1)))
    found: NDArray[np.intp] = group[:, None] * per_group + np.arange(per_group)
    return found


def _apply(link: Link, stats: TensorStats, scale: Floats) -> None:
    if link.maker.weights is not None:
        kernel, bias = link.maker.weights.kernel, link.maker.weights.bias
        link.maker.weights = ConvWeights(
            (kernel / scale[:, None, None, None]).astype(np.float32),
            (bias / scale).astype(np.float32),
        )
    if link.maker.act is not None and link.maker.act.kind == "clamp":
        link.maker.act = Activation("clamp", 0.0, np.inf)
    for node in link.readers:
        _scale_reader(node, scale)
    single = scale.astype(np.float32)
    for values in (stats.minimum, stats.maximum, stats.mean, stats.rows):
        values[:] = [value / single for value in values]


def _scale_reader(node: Node, scale: Floats) -> None:
    if node.weights is None:
        return
    factor = scale[_channels(node)][:, :, None, None]
    kernel = (node.weights.kernel * factor).astype(np.float32)
    node.weights = ConvWeights(kernel, node.weights.bias)


class _Search:
    """Tries scales for one link."""

    def __init__(self, graph: Graph, link: Link, stats: TensorStats, pictures: int) -> None:
        self.low = np.stack(stats.minimum).astype(np.float64)
        self.high = np.stack(stats.maximum).astype(np.float64)
        self.rows = stats.rows
        self.picture = np.arange(len(self.low)) % pictures
        self.count = self.low.shape[1]
        self.square = np.concatenate(stats.rows).astype(np.float64)
        self.square = (self.square**2).mean(axis=0)
        self.readers = [self._reader(graph, node) for node in link.readers]
        self.bound = _upper_bound(link.maker)
        self.depthwise = all(reader.largest.shape[1] == 1 for reader in self.readers)

    def _reader(self, graph: Graph, node: Node) -> _Reader:
        assert node.weights is not None
        kernel = node.weights.kernel.astype(np.float64)
        flat = kernel.reshape(*kernel.shape[:2], -1)
        channel = _channels(node)
        places = graph.tensor(node.output).elements / len(kernel)
        energy = np.bincount(channel.ravel(), (flat**2).sum(axis=2).ravel(), self.count) * places
        largest: Floats = np.abs(flat).max(axis=2)
        return _Reader(channel, largest, energy.astype(np.float64), flat.shape[2], places)

    def best(self) -> Floats | None:
        """Return the scale to use, or None when none is clearly better than no scale."""
        if self.count < 2 or any(int(r.channel.max()) + 1 != self.count for r in self.readers):
            return None
        plain = 0.0
        scales = dict(self._candidates(self.low.min(axis=0), self.high.max(axis=0)))
        totals = dict.fromkeys(scales, 0.0)
        for fold in _FOLDS:
            judged = self.picture % 4 == fold
            if not judged.any() or judged.all():
                return None
            low, high = self.low[~judged].min(axis=0), self.high[~judged].max(axis=0)
            values, weight = self._judges(judged)
            plain += self._noise(np.ones(self.count), low, high, values, weight)
            fitted = dict(self._candidates(low, high))
            totals = {key: total for key, total in totals.items() if key in fitted}
            for key in totals:
                totals[key] += self._noise(fitted[key], low, high, values, weight)
        if not totals:
            return None
        winner = min(totals, key=lambda key: totals[key])
        return None if totals[winner] > _GAIN * plain else scales[winner]

    def _judges(self, judged: NDArray[np.bool_]) -> tuple[NDArray[np.float32], Floats]:
        """Return rows of the pictures that judge, with the extremes as rows of less weight."""
        rows = np.concatenate([self.rows[i] for i in np.flatnonzero(judged)])
        rows = rows[:: max(1, len(rows) // _JUDGE_ROWS)]
        extremes = np.concatenate([self.low[judged], self.high[judged]]).astype(np.float32)
        weight = np.r_[np.ones(len(rows)), np.full(len(extremes), 0.25)]
        return np.concatenate([rows, extremes]), weight / weight.sum()

    def _candidates(
        self, low: Floats, high: Floats
    ) -> Iterator[tuple[tuple[float, float, float], Floats]]:
        reach = np.maximum(-low, high)
        if reach.max() <= 0:
            return
        reach = np.maximum(reach, reach.max() * 1e-3)
        largest = np.zeros(self.count)
        for reader in self.readers:
            np.maximum.at(largest, reader.channel.ravel(), reader.largest.ravel())
        largest = np.maximum(largest, largest.max() * 1e-2 + 1e-12)
        for a in (0.25, 0.5, 0.75, 1.0):
            for b in (0.0,) if self.depthwise else (0.0, 0.25, 0.5):
                shape = reach**a / largest**b
                for floor in (1 / 32, 1 / 8, 1 / 4):
                    scale = np.maximum(shape / shape.max(), floor)
                    # The largest code must not stand for more than the activation lets through.
                    if (high / scale).max() <= self.bound * 1.0001:
                        yield (a, b, floor), scale

    def _noise(
        self,
        scale: Floats,
        low: Floats,
        high: Floats,
        values: NDArray[np.float32],
        weight: Floats,
    ) -> float:
        """Return the expected noise at the readers' outputs."""
        bottom, top = min((low / scale).min(), 0.0), max((high / scale).max(), 0.0)
        step = max((top - bottom) / 255, 1e-12)
        zero = np.rint(-bottom / step)
        steps = (step * scale).astype(np.float32)
        codes = np.clip(np.rint(values / steps), -zero, 255 - zero)
        error = ((codes * steps - values) ** 2).astype(np.float64)
        error[error > steps.astype(np.float64) ** 2 * 0.2501] *= _CLIPPED
        by_channel = weight @ error
        noise = 0.0
        for reader in self.readers:
            noise += float(by_channel @ reader.energy)
            rounding = (reader.largest * scale[reader.channel]).max(axis=1) / 127
            seen = (self.square / scale**2)[reader.channel]
            per_tap = (rounding**2)[:, None] / 12 * reader.taps * seen
            noise += float(per_tap.sum()) * reader.places * _ROUNDING
        return noise
