"""Assigns device formats to tensors, and integer weights to convolutions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from maccel_aio.compiler.ir import FLOAT, Graph, Node, NodeQuant, TensorQuant
from maccel_aio.compiler.precision import (
    WEIGHTED,
    Group,
    OnNpu,
    PrecisionOptions,
    choose,
    copy_name,
    insert_copies,
)
from maccel_aio.compiler.ranges import affine_u8, symmetric_s16
from maccel_aio.compiler.renumber import number_of, shared_codes
from maccel_aio.compiler.rounding import is_compensated, sample_rows
from maccel_aio.compiler.tokens import choose_codes, quantise_tokens
from maccel_aio.compiler.weights import InputFormat, quantise_conv
from maccel_aio.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from maccel_aio.compiler.calibration import TensorStats
    from maccel_aio.compiler.ir import FloatStorage
    from maccel_aio.compiler.qdq import GivenScales

_CODES = {"u8": (0, 255), "s8": (-128, 127), "s16": (-32768, 32767)}
_PRODUCT_ROOM = 2.0**28
"""Products of an accumulator and its scale must stay below 2**30 on the device."""


@dataclass(frozen=True)
class QuantizeOptions:
    """How a graph is quantised; the defaults are the measured ones.

    Attributes:
        precision: what may leave 8 bits.
        bias_correction: whether rounding errors of weights are taken out of the biases.
        depthwise_bits: of the weights of depthwise convolutions, 8 or 16.
        equalise: whether channels are scaled before quantisation, see `equalise`.
        float_weights: how layers that stay float keep their weights: "f32", "bf16" (half the
            memory, rounded once at compile time), or a choice by the name of a layer.
        rounding: of weights of 8 bits: "nearest", or "compensated", which lets the errors of a
            linear layer or 1x1 convolution cancel on the calibration samples, see `rounding`.

    Raises:
        InvalidError: there is no such rounding.
    """

    precision: PrecisionOptions = field(default_factory=PrecisionOptions)
    bias_correction: bool = True
    depthwise_bits: int = 8
    equalise: bool = True
    float_weights: FloatStorage | Mapping[str, FloatStorage] = "f32"
    rounding: Literal["nearest", "compensated"] = "nearest"

    def __post_init__(self) -> None:
        if self.rounding not in ("nearest", "compensated"):
            raise InvalidError(f"rounding {self.rounding!r}: use 'nearest' or 'compensated'")


def quantise(
    graph: Graph,
    stats: Mapping[str, TensorStats],
    *,
    on_npu: OnNpu,
    fixed: Mapping[str, TensorQuant] | None = None,
    given: GivenScales | None = None,
    options: QuantizeOptions | None = None,
) -> None:
    """Fill `Tensor.quant` and `Node.quant` of a graph, and insert copies where formats differ.

    A tensor without statistics and without a given scale is stored as float, and what reads it
    computes in float.

    Args:
        graph: after the passes; changed in place.
        stats: of the float model, by tensor name.
        on_npu: whether a node runs on the device; tensors that meet others are float.
        fixed: formats that are settled, such as of inputs that take pixels.
        given: scales of a quantised model, which are kept.
        options: see `QuantizeOptions`.
    """
    _Quantiser(graph, stats, fixed or {}, given, options or QuantizeOptions()).run(on_npu)


class _Quantiser:
    """One run over one graph."""

    def __init__(
        self,
        graph: Graph,
        stats: Mapping[str, TensorStats],
        fixed: Mapping[str, TensorQuant],
        given: GivenScales | None,
        options: QuantizeOptions,
    ) -> None:
        self.graph = graph
        self.stats = stats
        self.fixed = fixed
        self.given = {} if given is None else given.tensors
        self.given_weights = {} if given is None else given.weights
        self.quantised = given is not None
        self.dynamic = given is not None and given.dynamic
        self.options = options
        self.group_of: dict[str, Group] = {}
        self.offsets: dict[str, float] = {}

    def run(self, on_npu: OnNpu) -> None:
        precision = self.options.precision
        if self.given:
            # The prescribed formats are 8-bit on both sides of an addition.
            precision = replace(precision, wide_sums=False, per_token=False)
        groups = choose(self.graph, on_npu, precision)
        groups += insert_copies(self.graph, groups, on_npu)
        for group in groups:
            self.group_of.update(dict.fromkeys(group.members, group))
            self._set(group, self._format(group))
        if not self.given:
            for node in reversed(self.graph.nodes):
                self._share_codes(node)
        for node in self.graph.nodes:
            if node.op in WEIGHTED and node.weights is not None and on_npu(node):
                self._weigh(node)
        if self.quantised and not self.stats:  # what the model does not say stays float
            self._given_tokens(on_npu)
        elif precision.per_token:
            quantise_tokens(self.graph, self.stats, on_npu, rows=self._rows)
            choose_codes(self.graph, on_npu)

    def _given_tokens(self, on_npu: OnNpu) -> None:
        """Quantise inputs when they are known where the model does, with its weights."""
        if not self.dynamic:
            return
        quantise_tokens(
            self.graph,
            {},
            lambda node: on_npu(node) and node.weight_step is not None,
            lambda node: node.weight_step,
        )

    def _set(self, group: Group, quant: TensorQuant) -> None:
        for name in group.members:
            self.graph.tensor(name).quant = quant

    def _format(self, group: Group) -> TensorQuant:
        """Return the format of a group from fixed and given ones, else from the ranges."""
        if group.dtype == "f32":
            return FLOAT
        originals = [name.removesuffix(copy_name("")) for name in group.members]
        for name in originals:
            if name in self.fixed:
                return self.fixed[name]
            if name in self.given and group.dtype == "u8":
                known = self.given[name]
                return TensorQuant("s16" if known.dtype == "s16" else "u8", known.scale, known.zero)
        known_stats = [self.stats[name] for name in originals if name in self.stats]
        if not known_stats:
            return FLOAT
        low = min(found.low for found in known_stats)
        high = max(found.high for found in known_stats)
        if group.dtype == "s16":
            return TensorQuant("s16", symmetric_s16(low, high))
        kept = self.options.precision.keep.get(group.members[0], 1.0) * max(-low, high)
        return TensorQuant("u8", *affine_u8(max(low, -kept), min(high, kept)))

    def _share_codes(self, node: Node) -> None:
        """Choose formats in which adding or multiplying one number changes no code."""
        found = number_of(self.graph, node)
        if found is None:
            return
        source, factor, shift = found
        x, y = self.group_of.get(source), self.group_of.get(node.output)
        if not (self._alone(source, x) and y is not None and x is not None and x is not y):
            return
        storage = self.graph.tensor(node.output).storage
        if storage.dtype != "u8" or self.fixed.keys() & set(y.members):
            return
        known = [self.stats[name] for name in y.members if name in self.stats]
        low, high = min(s.low for s in known), max(s.high for s in known)
        formats = shared_codes(storage, low, high, factor, shift, exact=not self._biased(y))
        if formats is not None:
            self._set(x, formats.x)
            self._set(y, formats.y)
            self.offsets[node.output] = formats.offset

    def _alone(self, name: str, group: Group | None) -> bool:
        """Whether a tensor of 8 bits has a format for itself and one reader."""
        once = sum(node.inputs.count(name) for node in self.graph.nodes) == 1
        own = group is not None and group.members == [name] and group.dtype == "u8"
        return once and own and name in self.stats and name not in self.fixed

    def _biased(self, group: Group) -> bool:
        """Whether only layers with weights and a bias read a group of one tensor."""
        readers = [n for n in self.graph.nodes if group.members[0] in n.inputs]
        biased = all(
            n.op in ("Conv", "Linear") and group.members[0] not in n.inputs[1:] for n in readers
        )
        return len(group.members) == 1 and biased

    def _weigh(self, node: Node) -> None:
        """Give a node its integers; one whose input is float gets the scale of given weights."""
        source = self.graph.tensor(node.inputs[0]).storage
        if source.dtype == "f32" or node.weights is None:
            node.weight_step = self._given_scale(node)
            return
        low, high = _CODES[source.dtype]
        x = InputFormat(source.scale, source.zero, low, high)
        kernel = node.weights.kernel.transpose(0, 2, 3, 1)
        offset = self.offsets.get(node.inputs[0], 0.0)
        numbers = quantise_conv(
            kernel,
            node.weights.bias + offset * kernel.sum(axis=(1, 2, 3), dtype=np.float64),
            x,
            mean=self._mean(node),
            scale=self._given_scale(node),
            bits=self._bits(node, source),
            rows=self._rows(node),
        )
        self._widen(node, float((numbers.bound * numbers.scale).max()))
        qmin, qmax = clamp_codes(node, self.graph.tensor(node.output).storage)
        node.quant = NodeQuant(numbers.weights, numbers.bias, numbers.scale, qmin, qmax)

    def _bits(self, node: Node, source: TensorQuant) -> int:
        wide = source.dtype == "s16" or node.inputs[0] in self.options.precision.storage
        if wide and not self.given:
            return 16  # the kernels multiply words anyway
        if node.name in self.options.precision.weight_bits and not self.given:
            return self.options.precision.weight_bits[node.name]
        depthwise = node.op == "Conv" and is_depthwise(node)
        return self.options.depthwise_bits if depthwise else 8

    def _rows(self, node: Node) -> NDArray[np.float64] | None:
        """Rows of the input for which weights are rounded; None for rounding to nearest."""
        found = self.stats.get(node.inputs[0].removesuffix(copy_name("")))
        if self.options.rounding == "nearest" or found is None or not is_compensated(node):
            return None
        return sample_rows(found.rows)

    def _mean(self, node: Node) -> NDArray[np.float64] | None:
        """Mean of the input per channel, for bias correction; None if it is not known."""
        found = self.stats.get(node.inputs[0].removesuffix(copy_name("")))
        if found is None or not self.options.bias_correction or node.weights is None:
            return None
        if node.op == "ConvTranspose":
            # Every output pixel sees one tap in stride * stride.
            share = 1.0 / math.prod(node.attrs.get("strides", (1, 1)))
        else:
            share = 1.0
        mean = found.channel_mean() * share
        channels = node.weights.kernel.shape[1] * int(node.attrs.get("group", 1))
        return mean if len(mean) == channels else None

    def _given_scale(self, node: Node) -> NDArray[np.float64] | None:
        """Scales of the quantised model's weights, if these weights are still its codes."""
        if node.weights is None:
            return None
        kernel = node.weights.kernel.reshape(len(node.weights.kernel), -1).astype(np.float64)
        # Simplifiers rename weights: then a scale that makes codes of all of them is theirs.
        named = {
            name: self.given_weights[name]
            for name in self._weight_names(node)
            if name in self.given_weights
        }
        for scale in (*named.values(), *self.given_weights.values()):
            if len(scale) in (1, len(kernel)) and _are_codes(kernel, scale):
                return np.broadcast_to(scale, (len(kernel),))
        return None

    def _weight_names(self, node: Node) -> list[str]:
        sources = set(node.source) | {node.name}
        return [
            name
            for proto in self.graph.model.graph.node
            if (proto.name or next(iter(proto.output), "")) in sources
            for name in proto.input[1:2]
        ]

    def _widen(self, node: Node, largest: float) -> None:
        """Raise the scale of a nearly constant output, for which products would grow too large."""
        group = self.group_of.get(node.output)
        quant = self.graph.tensor(node.output).storage
        if group is None or quant.dtype == "f32" or largest < quant.scale * _PRODUCT_ROOM:
            return
        self._set(group, TensorQuant(quant.dtype, largest / _PRODUCT_ROOM, quant.zero))


def _are_codes(kernel: NDArray[np.float64], scale: NDArray[np.float64]) -> bool:
    """Whether weights ``[O, n]`` are integers of 8 bits times a scale; the first row tells most."""
    for part in (slice(1), slice(None)):
        codes = kernel[part] / scale[part, None]
        if np.abs(codes - np.rint(codes)).max() >= 1e-2 or np.abs(codes).max() >= 128.5:
            return False
    return True


def is_depthwise(node: Node) -> bool:
    """Whether every channel is convolved for itself."""
    if node.weights is None:
        return False
    outputs, per_group = node.weights.kernel.shape[:2]
    group = int(node.attrs.get("group", 1))
    return int(per_group) == 1 and group == int(outputs) and group > 1


def clamp_codes(node: Node, out: TensorQuant) -> tuple[int | None, int | None]:
    """Return the codes between which a fused clamp confines the output; None without one."""
    if out.dtype == "f32" or node.act is None or node.act.kind != "clamp":
        return None, None
    if node.residual is not None and node.residual.after_act:
        return None, None
    low, high = _CODES[out.dtype]

    def code(value: float) -> int:
        if math.isinf(value):
            return low if value < 0 else high
        return int(np.clip(np.rint(value / out.scale) + out.zero, low, high))

    return code(node.act.a), code(node.act.b)
