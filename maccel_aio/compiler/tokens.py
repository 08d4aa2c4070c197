"""Integer weights for layers whose input vectors get a scale each, when they are known.

The activations of a transformer have a few large channels and rows of very different size: one
scale for a whole tensor leaves most rows a handful of codes. A scale per row costs a pass over the
tensor on the device and needs no calibration. What calibration is good for here is moving size
from the columns of the input into the weights, where each output channel has a scale of its own
(Xiao et al., "SmoothQuant", 2022): with the strength 1/2, column j is divided by
``sqrt(max |x_j| / max |w_j|)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import TokenQuant
from maccel_aio.compiler.precision import is_token_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from maccel_aio.compiler.calibration import TensorStats
    from maccel_aio.compiler.ir import Graph, Node
    from maccel_aio.compiler.precision import OnNpu

    Floats = NDArray[np.float64]

_TOP = 127
_SMALLEST_SCALE = 1e-30
_STRENGTH = 0.5
_MOST_SMOOTHING = 1e3


def quantise_tokens(
    graph: Graph,
    stats: Mapping[str, TensorStats],
    on_npu: OnNpu,
    given: Callable[[Node], Floats | None] = lambda _node: None,
) -> None:
    """Fill `Node.tokens` of the token layers of a graph whose input is stored as float.

    Layers that read one tensor get the same columns' factors, so that it is quantised once.
    The mean error of rounded weights is not taken out of the biases: it belongs to rows of mean
    size, and would swamp those that are smaller.

    Args:
        graph: with `Tensor.quant` filled; changed in place.
        stats: of the float model; without those of an input its columns keep their size.
        on_npu: whether a node runs on the device.
        given: returns scales that the model brings for weights of a layer, f64 ``[O]``; they count
            where columns keep their size.
    """
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if on_npu(node) and is_token_layer(graph, node):
            readers.setdefault(node.inputs[0], []).append(node)
    for name, nodes in readers.items():
        if graph.tensor(name).storage.dtype != "f32":
            continue
        found = stats.get(name)
        smooth = None if found is None else _factors(found, nodes)
        for node in nodes:
            node.tokens = _numbers(node, smooth, given(node) if smooth is None else None)


def _matrix(node: Node) -> Floats:
    """Return the weights as [O, I]."""
    assert node.weights is not None  # what a token layer is
    return node.weights.kernel[:, :, 0, 0].astype(np.float64)


def _factors(found: TensorStats, nodes: list[Node]) -> Floats:
    """Return what the columns of the input are multiplied by, ``[I]``."""
    low, high = found.channel_range()
    largest = np.maximum(np.abs(low), np.abs(high)).astype(np.float64)
    weights = np.max([np.abs(_matrix(node)).max(axis=0) for node in nodes], axis=0)
    known = (largest > 0) & (weights > 0)
    ratio = np.divide(weights, largest, out=np.ones_like(weights), where=known)
    factors = ratio**_STRENGTH
    middle = float(np.median(factors[known])) if known.any() else 1.0
    factors[~known] = middle
    limits = middle / _MOST_SMOOTHING, middle * _MOST_SMOOTHING
    # A power of two has no rounding error of its own, in the products and in the weights.
    rounded: Floats = np.exp2(np.rint(np.log2(np.clip(factors, *limits))))
    return rounded


def _numbers(node: Node, smooth: Floats | None, given: Floats | None) -> TokenQuant:
    assert node.weights is not None  # what a token layer is
    matrix = _matrix(node)
    scaled = matrix if smooth is None else matrix / smooth
    if given is None:
        scale = np.maximum(np.abs(scaled).max(axis=1) / _TOP, _SMALLEST_SCALE)
    else:
        scale = given
    codes = np.clip(np.rint(scaled / scale[:, None]), -_TOP - (given is not None), _TOP)
    return TokenQuant(
        codes.astype(np.int8)[:, None, None, :],
        node.weights.bias,
        scale,
        None if smooth is None else smooth.astype(np.float32),
    )
