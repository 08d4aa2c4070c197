"""Layers that quantise their input when it is known, as float layers with quantised weights.

``DynamicQuantizeLinear`` gives the codes, scale and zero point of a tensor; ``MatMulInteger`` or
``ConvInteger`` multiplies the codes with those of the weights; a Cast and products with both scales
make real values of the sums. All that says no more than: multiply real values with weights that
are ``(code - zero) * scale``. How the input is rounded, if at all, is left to the device.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from maccel_aio.compiler.onnxgraph import attributes, captured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maccel_aio.compiler.ir import Array

_LAYERS = {"MatMulInteger": "MatMul", "ConvInteger": "Conv"}
_DYNAMIC = "DynamicQuantizeLinear"


class _Found(NamedTuple):
    """One layer.

    Attributes:
        layer: the integer operator.
        scale: of the weights, any shape.
        output: the name of the real values.
        gone: nodes that it replaces, itself included.
    """

    layer: onnx.NodeProto
    scale: Array
    output: str
    gone: list[onnx.NodeProto]


def is_dynamic(model: onnx.ModelProto) -> bool:
    """Whether layers of the model quantise their inputs when these are known."""
    return any(node.op_type == _DYNAMIC for node in model.graph.node)


def expand_dynamic(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return `model` with such layers in float; their weights are dequantised constants.

    Rows that are looked up in a table of codes and dequantised then come from a dequantised table.
    """
    ops = {node.op_type for node in model.graph.node}
    if not (is_dynamic(model) or {"Gather", "DequantizeLinear"} <= ops):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _Expander(result.graph).run()
    return result


class _Expander:
    """Works on one graph in place; used once."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self.makers = {name: node for node in graph.node for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in (*node.input, *captured(node)):
                self.readers.setdefault(name, []).append(node)
        self.outputs = {value.name for value in graph.output}

    def run(self) -> None:
        found = [self._layer(n) for n in self.graph.node if n.op_type in _LAYERS]
        layers = {one.gone[-1].output[0]: one for one in found if one is not None}
        gone = {id(node) for one in layers.values() for node in one.gone}
        nodes: list[onnx.NodeProto] = []
        for node in list(self.graph.node):
            one = layers.get(node.output[0]) if node.output else None
            if one is not None and node is one.gone[-1]:
                nodes += self._float(one)
            elif id(node) not in gone:
                nodes += self._rows(node) or [node]
        del self.graph.node[:]
        self.graph.node.extend(_used(nodes, self.outputs))

    def _layer(self, node: onnx.NodeProto) -> _Found | None:
        """Return what belongs to an integer operator, or None if it is used in another way."""
        source = self.makers.get(node.input[0])
        zero = node.input[2] if len(node.input) > 2 else ""
        if source is None or source.op_type != _DYNAMIC or zero != source.output[2]:
            return None
        weights = [name for name in (node.input[1], *node.input[3:4]) if name]
        cast = self._only_reader(node.output[0])
        if not all(name in self.constants for name in weights) or cast is None:
            return None
        if cast.op_type != "Cast" or attributes(cast)["to"] != TensorProto.FLOAT:
            return None
        return self._scaled(node, cast, source.output[1])

    def _scaled(self, node: onnx.NodeProto, cast: onnx.NodeProto, source: str) -> _Found | None:
        """Follow the products behind `cast` until both scales were met."""
        gone, value = [node, cast], cast.output[0]
        scale, seen, known = _ONE, False, False
        while not (seen and known):
            product = self._only_reader(value)
            if product is None or product.op_type != "Mul":
                break
            names = [name for name in product.input if name != value]
            factor = self._factor(names[0], source) if len(names) == 1 else None
            if factor is None or (factor[0] and seen) or not self._per_channel(node, factor[1]):
                break
            seen, known = seen or factor[0], known or factor[1] is not _ONE
            scale = scale * factor[1]
            gone.append(product)
            value = product.output[0]
        return _Found(node, scale, value, gone) if seen else None

    def _per_channel(self, node: onnx.NodeProto, scale: Array) -> bool:
        """Whether a factor is one number, or one for each output channel."""
        weights = self.constants[node.input[1]]
        conv = node.op_type == "ConvInteger"
        wanted = (len(weights), *[1] * (weights.ndim - 2)) if conv else weights.shape[-1:]
        return scale.size == 1 or scale.shape == (1,) * (scale.ndim - len(wanted)) + wanted

    def _factor(self, name: str, source: str) -> tuple[bool, Array] | None:
        """Return whether a factor holds the scale of the input, and its constant part."""
        if name == source:
            return True, _ONE
        if name in self.constants:
            return False, self.constants[name]
        maker = self.makers.get(name)
        if maker is None or maker.op_type != "Mul" or source not in maker.input:
            return None
        rest = [other for other in maker.input if other != source]
        known = self.constants.get(rest[0]) if len(rest) == 1 else None
        return None if known is None else (True, known)

    def _only_reader(self, name: str) -> onnx.NodeProto | None:
        found = self.readers.get(name, [])
        return found[0] if len(found) == 1 and name not in self.outputs else None

    def _float(self, one: _Found) -> list[onnx.NodeProto]:
        """Return the float layer, and what dequantises its weights."""
        node, op = one.layer, _LAYERS[one.layer.op_type]
        axis = 0 if op == "Conv" else max(self.constants[node.input[1]].ndim - 1, 0)
        base = node.name or node.output[0]
        source = self.makers[node.input[0]].input[0]
        zero = [self.constants[name] for name in node.input[3:4] if name]
        numbers = np.broadcast_arrays(_flat(one.scale), *map(_flat, zero))
        names = [self._const(f"{one.output}:{k}", value) for k, value in enumerate(numbers)]
        inputs = [node.input[1], *names]
        weights = f"{one.output}:weights"
        return [
            helper.make_node("DequantizeLinear", inputs, [weights], name=weights, axis=axis),
            helper.make_node(
                op, [source, weights], [one.output], name=base, **attributes(node)
            ),
        ]  # fmt: skip

    def _rows(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Return a look-up of real rows for a dequantised look-up of codes, else nothing."""
        look = self.makers.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if look is None or look.op_type != "Gather" or look.input[0] not in self.constants:
            return []
        numbers = [self.constants.get(name) for name in node.input[1:] if name]
        if any(value is None or value.size > 1 for value in numbers):
            return []
        table = f"{node.output[0]}:table"
        inputs = [look.input[0], *node.input[1:]]
        return [
            helper.make_node("DequantizeLinear", inputs, [table], name=table),
            helper.make_node(
                "Gather", [table, look.input[1]], node.output, name=look.name, **attributes(look)
            ),
        ]

    def _const(self, name: str, value: Array) -> str:
        array = np.ascontiguousarray(value).reshape(value.shape)
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        return name


_ONE = np.ones((), np.float32)


def _flat(scale: Array) -> Array:
    """Return a scale as a number, or as one number per channel."""
    return scale.reshape(()) if scale.size == 1 else scale.ravel()


def _used(nodes: Sequence[onnx.NodeProto], outputs: set[str]) -> list[onnx.NodeProto]:
    """Return nodes without quantisers, and factors of scales, that nothing reads any more."""
    kept = list(nodes)
    while True:
        read = Counter(name for node in kept for name in (*node.input, *captured(node)))
        idle = [
            node
            for node in kept
            if node.op_type in (_DYNAMIC, "Mul", "Gather")
            and not any(read[name] or name in outputs for name in node.output)
        ]
        if not idle:
            return kept
        kept = [node for node in kept if node not in idle]
