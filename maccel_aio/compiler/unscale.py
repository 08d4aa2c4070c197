"""Takes equalisation back where a tensor leaves 8 bits.

Where channels were scaled, the upper bound of an activation between them is the end of the 8-bit
codes, for one number cannot bound channels of different scales. In 16 bits and in float there is
no such end, and nothing is to be gained from scaling either: the layer gets back what it had.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import ConvWeights
from maccel_aio.compiler.pointwise import FLOAT_MAX
from maccel_aio.compiler.precision import WEIGHTED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from maccel_aio.compiler.calibration import TensorStats
    from maccel_aio.compiler.ir import Activation, Graph, Node
    from maccel_aio.compiler.numeric import Observed


@dataclass(frozen=True)
class Bounded:
    """A tensor whose channels were scaled, and the bound that was lost with it.

    Attributes:
        scale: f64 ``[c]``, see `NumericResult.scaled`.
        act: the activation that the maker had.
    """

    scale: NDArray[np.float64]
    act: Activation


def bounds(graph: Graph) -> dict[str, Activation]:
    """Return the activations with an upper bound, by the tensor that they make.

    Those without lose nothing. They may write one of several tensors that are scaled alike, such as
    a residual stream, and giving one of them alone its scale back would make it another number.
    """
    return {
        node.output: node.act
        for node in graph.nodes
        if node.act is not None and node.act.kind == "clamp" and node.act.b < FLOAT_MAX
    }


def find_bounded(
    before: Mapping[str, Activation], scaled: Mapping[str, NDArray[np.float64]]
) -> dict[str, Bounded]:
    """Return the scaled tensors that have another bound than before, or none.

    Args:
        before: of `bounds`, before equalisation.
        scaled: what equalisation returned.
    """
    return {name: Bounded(scale, before[name]) for name, scale in scaled.items() if name in before}


def unscale(graph: Graph, seen: Observed, names: Collection[str]) -> Observed:
    """Return what calibration found of a graph in which some tensors have their bound again.

    Args:
        graph: after equalisation, without formats; nodes are changed in place.
        seen: of the graph; not changed.
        names: tensors that leave 8 bits; those that were not scaled, or lost nothing, stay.
    """
    chosen = {name: found for name, found in seen.bounded.items() if name in names}
    if not chosen:
        return seen
    makers, readers = graph.producers(), graph.consumers()
    stats = dict(seen.stats)
    for name, found in chosen.items():
        maker = makers[name]
        maker.act = found.act
        if maker.weights is not None:
            rows = found.scale[:, None, None, None]
            maker.weights = ConvWeights(
                (maker.weights.kernel * rows).astype(np.float32),
                (maker.weights.bias * found.scale).astype(np.float32),
            )
        for node in readers[name]:
            _divide(node, found.scale)
        stats[name] = _restored(stats[name], found.scale)
    scaled = {name: scale for name, scale in seen.result.scaled.items() if name not in chosen}
    return replace(seen, stats=stats, result=replace(seen.result, scaled=scaled))


def _divide(node: Node, scale: NDArray[np.float64]) -> None:
    """Divide the weights that read each channel."""
    if node.op not in WEIGHTED or node.weights is None:
        return
    kernel, groups = node.weights.kernel, int(node.attrs.get("group", 1))
    outputs, per_group = kernel.shape[:2]
    group = np.arange(outputs) // max(1, outputs // groups)
    channel = group[:, None] * per_group + np.arange(per_group)
    divided = (kernel / scale[channel][:, :, None, None]).astype(np.float32)
    node.weights = ConvWeights(divided, node.weights.bias)


def _restored(found: TensorStats, scale: NDArray[np.float64]) -> TensorStats:
    single = scale.astype(np.float32)
    minimum, maximum, mean, rows = (
        [value * single for value in values]
        for values in (found.minimum, found.maximum, found.mean, found.rows)
    )
    return replace(found, minimum=minimum, maximum=maximum, mean=mean, rows=rows)
