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
from maccel_aio.compiler.rounding import compensated_codes

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
_LOWEST_CLAMP = 0.5
_FEWEST_QUERIES = 16
"""Fewer, and quantising all keys and values takes longer than products of floats."""
_LOWEST = {
    "gelu_erf": -0.17, "gelu_tanh": -0.1701, "silu": -0.2785, "mish": -0.3089,
    "hardswish": -0.375, "softplus": 0.0, "exp": 0.0, "square": 0.0, "abs": 0.0,
}  # fmt: skip
"""What functions without an upper bound are never below, by `Activation.kind`."""


def quantise_tokens(
    graph: Graph,
    stats: Mapping[str, TensorStats],
    on_npu: OnNpu,
    given: Callable[[Node], Floats | None] = lambda _node: None,
    rows: Callable[[Node], Floats | None] = lambda _node: None,
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
        rows: returns rows of the input ``[n, I]`` for which weights without given scales are
            rounded, see `rounding`; None: to nearest.
    """
    readers: dict[str, list[Node]] = {}
    makers = graph.producers()
    for node in graph.nodes:
        if on_npu(node) and is_token_layer(graph, node):
            readers.setdefault(node.inputs[0], []).append(node)
    for name, nodes in readers.items():
        if graph.tensor(name).storage.dtype != "f32":
            continue
        found = stats.get(name)
        low = lower_bound(makers, name)
        smooth = None if found is None else _factors(found, nodes, low)
        for node in nodes:
            scale = given(node) if smooth is None else None
            node.tokens = _numbers(node, smooth, scale, low, rows(node))


def _matrix(node: Node) -> Floats:
    """Return the weights as [O, I]."""
    assert node.weights is not None  # what a token layer is
    return node.weights.kernel[:, :, 0, 0].astype(np.float64)


def _factors(found: TensorStats, nodes: list[Node], bound: float | None) -> Floats:
    """Return what the columns of the input are multiplied by, ``[I]``."""
    low, high = found.channel_range()
    largest = np.maximum(np.abs(low), np.abs(high)).astype(np.float64)
    if bound is not None:
        largest = np.maximum(high.astype(np.float64) - bound, 0.0)
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


def choose_codes(graph: Graph, on_npu: OnNpu) -> None:
    """Let attention multiply codes of 8 bits where there are queries enough to pay for them."""
    for node in graph.walk("Attention"):
        if on_npu(node) and graph.tensor(node.inputs[0]).dims[-2] >= _FEWEST_QUERIES:
            node.attrs = {**node.attrs, "codes": True}


def lower_bound(makers: Mapping[str, Node], name: str) -> float | None:
    """Return a number that no element of a tensor is below, None if there is none.

    Most of what GELU and its like return is near their smallest value. Codes that count from
    there are twice as fine as codes with a sign.
    """
    maker = makers.get(name)
    while maker is not None and maker.op == "Reshape":
        maker = makers.get(maker.inputs[0])
    if maker is None or maker.act is None or maker.reason:
        return None
    if maker.residual is not None and maker.residual.after_act:
        return None
    if maker.act.kind == "clamp":
        return maker.act.a if -_LOWEST_CLAMP <= maker.act.a <= 0.0 else None
    return _LOWEST.get(maker.act.kind)


def _numbers(
    node: Node,
    smooth: Floats | None,
    given: Floats | None,
    low: float | None,
    rows: Floats | None,
) -> TokenQuant:
    assert node.weights is not None  # what a token layer is
    matrix = _matrix(node)
    scaled = matrix if smooth is None else matrix / smooth
    if given is None:
        scale = np.maximum(np.abs(scaled).max(axis=1) / _TOP, _SMALLEST_SCALE)
    else:
        scale = given
    codes = np.clip(np.rint(scaled / scale[:, None]), -_TOP - (given is not None), _TOP)
    if rows is not None and given is None:
        inputs = rows if smooth is None else rows * smooth
        codes = compensated_codes(scaled, scale, inputs, _TOP, centred=False)
    bias = node.weights.bias
    if low is not None:
        rounded = codes * scale[:, None] * (1.0 if smooth is None else smooth)
        bias = (bias + low * rounded.sum(axis=1)).astype(np.float32)
    return TokenQuant(
        codes.astype(np.int8)[:, None, None, :],
        bias,
        scale,
        None if smooth is None else smooth.astype(np.float32),
        low,
    )
