"""Cross-validated equalisation: channels of one tensor share its 8 bits more evenly.

Between two layers, channel c may be divided by s[c] if the weights that read it are multiplied by
s[c]: that costs nothing at run time. Small channels then use more of the common range. What the
scales are fitted to is never what judges them: ranges come from three quarters of the pictures,
the error from the rest, and values that clip count sixteen times. Without that, a scale fitted to
the samples' maxima clips on other pictures and makes things far worse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import Activation, ConvWeights, Graph, Node

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from maccel_aio.compiler.calibration import TensorStats
    from maccel_aio.compiler.links import Link

    Floats = NDArray[np.float64]

_GAIN = 0.8
_CLIPPED = 16.0
_ROUNDING = 0.25
_FOLDS = (0, 2)
_MIN_PICTURES = 8
_JUDGE_ROWS = 440


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


def equalise(
    graph: Graph, links: list[Link], stats: Mapping[str, TensorStats], pictures: int
) -> dict[str, Floats]:
    """Scale channels where that pays; weights and statistics are changed accordingly.

    Args:
        graph: before quantisation; weights are replaced.
        links: of `find_links`.
        stats: with rows of the tensors that are read in 8 bits; changed in place.
        pictures: how many distinct pictures there are; sample n shows picture ``n % pictures``.

    Returns:
        Per scaled tensor, f64 ``[c]``: the graph now holds the float model's value over this.
    """
    done: dict[str, Floats] = {}
    if pictures < _MIN_PICTURES:
        return done
    for link in links:
        if any(name not in stats for name in link.tensors):
            continue
        judges = [
            _Judge(graph, stats[name], readers, pictures) for name, readers in link.eight.items()
        ]
        scale = _Search(judges, link.bound).best()
        if scale is not None:
            rescale(link, stats, scale)
            done.update(dict.fromkeys(link.tensors, scale))
    return done


def _channels(node: Node) -> NDArray[np.intp]:
    """Return the input channel of each weight, ``[o, i]``."""
    if node.weights is None:
        return np.zeros((0, 0), np.intp)
    outputs, per_group = node.weights.kernel.shape[:2]
    group = np.arange(outputs) // max(1, outputs // int(node.attrs.get("group", 1)))
    found: NDArray[np.intp] = group[:, None] * per_group + np.arange(per_group)
    return found


def rescale(link: Link, stats: Mapping[str, TensorStats], scale: Floats) -> None:
    """Divide the channels of a link's tensors, and their statistics, by `scale`, f64 ``[c]``."""
    for maker in link.makers:
        if maker.weights is not None:
            kernel, bias = maker.weights.kernel, maker.weights.bias
            maker.weights = ConvWeights(
                (kernel / scale[:, None, None, None]).astype(np.float32),
                (bias / scale).astype(np.float32),
            )
    for _, node in link.readers:
        _scale_reader(node, scale)
    single = scale.astype(np.float32)
    for name in link.tensors:
        found = stats[name]
        for values in (found.minimum, found.maximum, found.mean, found.rows):
            values[:] = [value / single for value in values]
    if math.isfinite(link.bound):
        # Every channel ends elsewhere now. The end of all in 8 bits is the largest code: the same
        # in any other format, where nothing else would end what the model cuts off.
        (maker,) = link.makers
        maker.act = Activation("clamp", 0.0, max(stats[name].high for name in link.tensors))


def _scale_reader(node: Node, scale: Floats) -> None:
    if node.weights is None:
        return
    factor = scale[_channels(node)][:, :, None, None]
    kernel = (node.weights.kernel * factor).astype(np.float32)
    node.weights = ConvWeights(kernel, node.weights.bias)


class _Judge:
    """Tells the noise that the 8 bits of one tensor make where it is read."""

    def __init__(
        self, graph: Graph, stats: TensorStats, readers: tuple[Node, ...], pictures: int
    ) -> None:
        self.low = np.stack(stats.minimum).astype(np.float64)
        self.high = np.stack(stats.maximum).astype(np.float64)
        self.rows = stats.rows
        self.picture = np.arange(len(self.low)) % pictures
        self.count = self.low.shape[1]
        self.square = np.concatenate(stats.rows).astype(np.float64)
        self.square = (self.square**2).mean(axis=0)
        self.readers = [self._reader(graph, node) for node in readers]

    def _reader(self, graph: Graph, node: Node) -> _Reader:
        assert node.weights is not None
        kernel = node.weights.kernel.astype(np.float64)
        flat = kernel.reshape(*kernel.shape[:2], -1)
        channel = _channels(node)
        places = graph.tensor(node.output).elements / len(kernel)
        energy = np.bincount(channel.ravel(), (flat**2).sum(axis=2).ravel(), self.count) * places
        largest: Floats = np.abs(flat).max(axis=2)
        return _Reader(channel, largest, energy.astype(np.float64), flat.shape[2], places)

    @property
    def fits(self) -> bool:
        """Whether all readers read all channels."""
        whole = (int(r.channel.max()) + 1 == self.count for r in self.readers)
        return self.count > 1 and all(whole)

    @property
    def depthwise(self) -> bool:
        """Whether only layers read it that keep channels apart."""
        return all(reader.largest.shape[1] == 1 for reader in self.readers)

    def ends(self, chosen: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Return the range of every channel on some of the samples."""
        return self.low[chosen].min(axis=0), self.high[chosen].max(axis=0)

    def largest_weights(self) -> Floats:
        """Return the largest weight that reads each channel."""
        largest = np.zeros(self.count)
        for reader in self.readers:
            np.maximum.at(largest, reader.channel.ravel(), reader.largest.ravel())
        return largest

    def samples(self, judged: NDArray[np.bool_]) -> tuple[NDArray[np.float32], Floats]:
        """Return rows of the pictures that judge, with the extremes as rows of less weight."""
        rows = np.concatenate([self.rows[i] for i in np.flatnonzero(judged)])
        rows = rows[:: max(1, len(rows) // _JUDGE_ROWS)]
        extremes = np.concatenate([self.low[judged], self.high[judged]]).astype(np.float32)
        weight = np.r_[np.ones(len(rows)), np.full(len(extremes), 0.25)]
        return np.concatenate([rows, extremes]), weight / weight.sum()

    def noise(
        self,
        scale: Floats,
        ends: tuple[Floats, Floats],
        samples: tuple[NDArray[np.float32], Floats],
    ) -> float:
        """Return the expected noise at the readers' outputs."""
        (low, high), (values, weight) = ends, samples
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


class _Search:
    """Tries scales for one link."""

    def __init__(self, judges: list[_Judge], bound: float) -> None:
        self.judges = judges
        self.bound = bound
        self.depthwise = all(judge.depthwise for judge in judges)

    def best(self) -> Floats | None:
        """Return the scale to use, or None when none is clearly better than no scale."""
        if not all(judge.fits for judge in self.judges):
            return None
        picture = self.judges[0].picture
        plain = 0.0
        scales = dict(self._candidates(np.ones(len(picture), np.bool_)))
        totals = dict.fromkeys(scales, 0.0)
        for fold in _FOLDS:
            judged = picture % 4 == fold
            if not judged.any() or judged.all():
                return None
            cases = [(j, j.ends(~judged), j.samples(judged)) for j in self.judges]
            plain += sum(j.noise(np.ones(j.count), ends, rows) for j, ends, rows in cases)
            fitted = dict(self._candidates(~judged))
            totals = {key: total for key, total in totals.items() if key in fitted}
            for key in totals:
                totals[key] += sum(j.noise(fitted[key], ends, rows) for j, ends, rows in cases)
        if not totals:
            return None
        winner = min(totals, key=lambda key: totals[key])
        return None if totals[winner] > _GAIN * plain else scales[winner]

    def _reach(self, chosen: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Return the largest value of each channel on some samples, and its upper end."""
        reach, top = np.zeros(self.judges[0].count), np.full(self.judges[0].count, -np.inf)
        for judge in self.judges:
            low, high = judge.ends(chosen)
            own = np.maximum(-low, high)
            reach = np.maximum(reach, own / max(own.max(), 1e-30))
            top = np.maximum(top, high)
        return reach, top

    def _candidates(
        self, chosen: NDArray[np.bool_]
    ) -> Iterator[tuple[tuple[float, float, float], Floats]]:
        reach, top = self._reach(chosen)
        if reach.max() <= 0:
            return
        reach = np.maximum(reach, reach.max() * 1e-3)
        largest = np.maximum.reduce([judge.largest_weights() for judge in self.judges])
        largest = np.maximum(largest, largest.max() * 1e-2 + 1e-12)
        for a in (0.25, 0.5, 0.75, 1.0):
            for b in (0.0,) if self.depthwise else (0.0, 0.25, 0.5):
                shape = reach**a / largest**b
                for floor in (1 / 32, 1 / 8, 1 / 4):
                    scale = np.maximum(shape / shape.max(), floor)
                    # The largest code must not stand for more than the activation lets through.
                    if (top / scale).max() <= self.bound * 1.0001:
                        yield (a, b, floor), scale
