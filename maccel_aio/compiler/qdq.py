"""Quantised ONNX (QuantizeLinear / DequantizeLinear pairs) into a float graph and its scales.

The pairs are removed, weights become float initializers, and what they said is kept aside, so that
one compiler serves float and quantised models; quantisation then uses the given scales instead of
its own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import numpy_helper

from maccel_aio.errors import CompileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_QUANTISE = "QuantizeLinear"
_DEQUANTISE = "DequantizeLinear"
_BEFORE_RELU = {"Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "BatchNormalization"}
_CLIP_INPUTS = 11
"""From this operator set on Clip has its ends as inputs."""
_ACTIVATION_TYPES = {"uint8": ("u8", 0), "int8": ("u8", 128), "int16": ("s16", 0)}


@dataclass(frozen=True)
class GivenFormat:
    """An activation format that the model prescribes: ``real = (q - zero) * scale``.

    Attributes:
        dtype: ``"u8"`` or ``"s16"``, on the device: s8 becomes u8 with its zero point moved by 128.
    """

    dtype: str
    scale: float
    zero: int


@dataclass(frozen=True)
class GivenScales:
    """What the removed pairs said.

    Attributes:
        tensors: per tensor name, its format.
        weights: per initializer name, f64 scale, one number or one per channel.
        dynamic: layers quantise their inputs when these are known.
    """

    tensors: dict[str, GivenFormat] = field(default_factory=dict)
    weights: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    dynamic: bool = False


def has_pairs(model: onnx.ModelProto) -> bool:
    """Whether the model is quantised in this way."""
    return any(node.op_type == _DEQUANTISE for node in model.graph.node)


def remove_pairs(model: onnx.ModelProto) -> tuple[onnx.ModelProto, GivenScales]:
    """Return the float model, and the scales that its pairs prescribed.

    A lone QuantizeLinear or DequantizeLinear on a model input or output stays in the graph.

    Raises:
        CompileError: a scale or zero point is not a constant, or is not a sound number.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    return result, _Remover(result).run()


class _Remover:
    """Works on one graph in place; used once."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = graph = model.graph
        versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
        self.version = max(versions, default=_CLIP_INPUTS)
        self.constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        self.constants.update(_constant_nodes(graph))
        self.maker = {name: node for node in graph.node for name in node.output}
        self.found = GivenScales()
        self.rename: dict[str, str] = {}
        self.new: list[onnx.TensorProto] = []
        self.relus: dict[str, onnx.NodeProto] = {}

    def run(self) -> GivenScales:
        outputs = {value.name for value in self.graph.output}
        gone: set[str] = set()
        for node in self.graph.node:
            if node.op_type != _DEQUANTISE:
                continue
            if node.input[0] in self.constants:
                self._constant(node)
            elif not self._pair(node, outputs):
                continue
            gone.add(node.output[0])
        self._rewire(gone)
        _drop_unused(self.graph)
        return self.found

    def _numbers(self, node: onnx.NodeProto) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """Return scale and zero point of a node; the zero point's type is the code type."""
        names = list(node.input[1:3])
        unknown = [name for name in names if name and name not in self.constants]
        if unknown:
            msg = f"{node.op_type} {node.name!r}: {unknown[0]!r} is not a constant"
            raise CompileError(msg)
        scale = np.asarray(self.constants[names[0]], np.float64)
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            raise CompileError(f"{node.op_type} {node.name!r}: its scale is not positive")
        has_zero = len(names) == 2 and names[1]
        return scale, self.constants[names[1]] if has_zero else np.zeros((), np.uint8)

    def _pair(self, node: onnx.NodeProto, outputs: set[str]) -> bool:
        """Take a Q -> DQ pair on an activation out; False if it must stay."""
        source = self.maker.get(node.input[0])
        if source is None or source.op_type != _QUANTISE:
            return False
        scale, zero = self._numbers(source)
        name = self._clipped(self.rename.get(source.input[0], source.input[0]), zero)
        known = _ACTIVATION_TYPES.get(str(zero.dtype))
        if known is not None and scale.size == 1 and name not in self.found.tensors:
            dtype, shift = known
            given = GivenFormat(dtype, float(scale.ravel()[0]), int(zero.ravel()[0]) + shift)
            if not (dtype == "s16" and given.zero):
                self.found.tensors[name] = given
        if node.output[0] in outputs:
            self._take_output(name, node.output[0], scale, zero)
        else:
            self.rename[node.output[0]] = name
        return True

    def _clipped(self, name: str, zero: NDArray[Any]) -> str:
        """Return `name`, or the Relu of it that quantisation to ``zero = smallest code`` is.

        Quantisers drop a Relu before such a pair, because the codes cannot be negative.
        """
        maker = self.maker.get(name)
        if zero.dtype.kind not in "iu" or zero.size != 1 or zero.ravel()[0] != _least(zero):
            return name
        if maker is None or maker.op_type not in _BEFORE_RELU:
            return name
        if name not in self.relus:
            self.relus[name] = onnx.helper.make_node("Relu", [name], [f"{name}:relu"])
        return f"{name}:relu"

    def _take_output(
        self, inner: str, outer: str, scale: NDArray[np.float64], zero: NDArray[Any]
    ) -> None:
        """Let the model output `outer` be `inner` between the ends that its codes have."""
        node = self.maker[outer]
        if zero.dtype.kind not in "iu" or scale.size != 1:
            node.CopyFrom(onnx.helper.make_node("Identity", [inner], [outer]))
            return
        limits = np.iinfo(zero.dtype)
        ends = (np.array([limits.min, limits.max]) - int(zero.ravel()[0])) * float(scale.ravel()[0])
        low, high = np.asarray(ends, np.float32)
        if self.version < _CLIP_INPUTS:
            attrs: dict[str, Any] = {"min": float(low), "max": float(high)}
            node.CopyFrom(onnx.helper.make_node("Clip", [inner], [outer], name=outer, **attrs))
            return
        names = [f"{outer}:low", f"{outer}:high"]
        self.new += [numpy_helper.from_array(v, n) for n, v in zip(names, (low, high), strict=True)]
        node.CopyFrom(onnx.helper.make_node("Clip", [inner, *names], [outer], name=outer))

    def _constant(self, node: onnx.NodeProto) -> None:
        """Replace a dequantised constant by a float initializer of the same name."""
        scale, zero = self._numbers(node)
        codes = self.constants[node.input[0]].astype(np.int64)
        centred = codes - _spread(zero.astype(np.int64), codes.shape, node)
        real = centred * _spread(scale, codes.shape, node)
        name = node.output[0]
        self.new.append(numpy_helper.from_array(real.astype(np.float32), name))
        blocks = any(a.name == "block_size" and a.i for a in node.attribute)
        if not blocks and centred.min(initial=0) >= -128 and centred.max(initial=0) <= 127:
            self.found.weights[name] = scale.ravel()

    def _rewire(self, gone: set[str]) -> None:
        kept = [
            node
            for node in self.graph.node
            if not (node.op_type == _DEQUANTISE and node.output[0] in gone)
        ]
        for node in kept:
            for index, name in enumerate(node.input):
                node.input[index] = self._final(name)
        del self.graph.node[:]
        for node in kept:
            self.graph.node.append(node)
            self.graph.node.extend(self.relus[n] for n in node.output if n in self.relus)
        self.graph.initializer.extend(self.new)

    def _final(self, name: str) -> str:
        while name in self.rename:
            name = self.rename[name]
        return name


def _spread(values: NDArray[Any], shape: tuple[int, ...], node: onnx.NodeProto) -> NDArray[Any]:
    """Return scales or zero points of a tensor in a form that broadcasts to its shape."""
    numbers = {a.name: a.i for a in node.attribute}
    if values.size == 1:
        return values.reshape(())
    axis = numbers.get("axis", 1) % len(shape)
    if block := numbers.get("block_size", 0):
        spread = values.repeat(block, axis).take(range(shape[axis]), axis)
        return np.asarray(spread)
    return values.reshape([values.size if k == axis else 1 for k in range(len(shape))])


def _least(zero: NDArray[Any]) -> int:
    return int(np.iinfo(zero.dtype).min)


def _constant_nodes(graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    found = {}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove quantisers that nothing reads any more, and initializers without a reader."""
    outputs = {value.name for value in graph.output}
    uses = Counter(name for node in graph.node for name in node.input)
    kept = [
        node
        for node in graph.node
        if node.op_type not in (_QUANTISE, "Constant")
        or any(uses[name] or name in outputs for name in node.output)
    ]
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in kept for name in node.input} | outputs
    initializers = [i for i in graph.initializer if i.name in used]
    del graph.initializer[:]
    graph.initializer.extend(initializers)
