"""Turns the float TFLite models that MediaPipe ships into ONNX, channels first.

Covers the operators of those models and nothing more. Field numbers are those of the TFLite schema
(tensorflow/lite/schema/schema.fbs).
"""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from peering.flatbuffer import Table
from peering.graph import GraphBuilder

_KINDS = {0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64}
_OPERATORS = {
    0: "ADD",
    1: "AVERAGE_POOL_2D",
    2: "CONCATENATION",
    3: "CONV_2D",
    4: "DEPTHWISE_CONV_2D",
    5: "DEPTH_TO_SPACE",
    6: "DEQUANTIZE",
    14: "LOGISTIC",
    17: "MAX_POOL_2D",
    18: "MUL",
    19: "RELU",
    22: "RESHAPE",
    23: "RESIZE_BILINEAR",
    34: "PAD",
    40: "MEAN",
    54: "PRELU",
    117: "HARD_SWISH",
    124: "DENSIFY",
}
_CUSTOM, _NO_ACTIVATION, _RELU, _RELU6 = 32, 0, 1, 3
_SAME = 0
_CHANNELS_FIRST = (0, 3, 1, 2)

Array = NDArray[Any]


class Converter:
    """Converts one model. Tensors of rank 4 are channels first in ONNX.

    Args:
        path: of the ``.tflite`` file.
    """

    def __init__(self, path: Path) -> None:
        root = Table.root(path.read_bytes())
        self._graph = next(root.tables(2))
        self._tensors = list(self._graph.tables(0))
        self._buffers = list(root.tables(4))
        self._codes = [(max(c.number(0, "b"), c.number(3)), c.text(1)) for c in root.tables(1)]
        self._values: dict[int, str] = {}
        self._constants: dict[int, Array] = {}
        self.out = GraphBuilder()

    # ---- tensors

    def shape(self, tensor: int) -> list[int]:
        """Return the TFLite shape of a tensor."""
        return [int(size) for size in self._tensors[tensor].array(0)]

    def constant(self, tensor: int) -> Array:
        """Return the value of a constant tensor, float16 as float32."""
        if tensor not in self._constants:
            table = self._tensors[tensor]
            if table.table(6) is not None:
                raise ValueError("sparse weights")
            raw = self._buffers[table.number(2, "I")].array(0, np.uint8)
            value = raw.view(_KINDS[table.number(1, "b")]).reshape(self.shape(tensor))
            self._constants[tensor] = (
                value.astype(np.float32) if value.dtype == np.float16 else value
            )
        return self._constants[tensor]

    def value(self, tensor: int) -> str:
        """Return the ONNX name of a tensor, making a constant of it if it is one."""
        if tensor not in self._values:
            array = self.constant(tensor)
            array = array.transpose(_CHANNELS_FIRST) if array.ndim == 4 else array
            if array.ndim == 1 and array.size > 1:
                array = array.reshape(1, -1, 1, 1)
            self._values[tensor] = self.out.constant(array)
        return self._values[tensor]

    # ---- the model

    def model(self, name: str) -> onnx.ModelProto:
        """Return the ONNX model: inputs and outputs of rank 4 are channels first."""
        inputs, outputs = (
            {f"{what}{k}": int(t) for k, t in enumerate(self._graph.array(field))}
            for field, what in ((1, "input"), (2, "output"))
        )
        self._values.update({tensor: given for given, tensor in inputs.items()})
        for operator in self._graph.tables(3):
            self._convert(operator)
        for given, tensor in outputs.items():
            self.out.node("Identity", self._values[tensor], out=given)
        return self.out.model(
            name,
            {given: self._first(tensor) for given, tensor in inputs.items()},
            {given: self._first(tensor) for given, tensor in outputs.items()},
        )

    def _first(self, tensor: int) -> list[int]:
        shape = self.shape(tensor)
        return [shape[d] for d in _CHANNELS_FIRST] if len(shape) == 4 else shape

    def _convert(self, operator: Table) -> None:
        code, custom = self._codes[operator.number(0, "I")]
        name = custom if code == _CUSTOM else _OPERATORS.get(code, f"operator {code}")
        inputs, outputs = ([int(t) for t in operator.array(field)] for field in (1, 2))
        options = operator.table(4)
        if name in ("DEQUANTIZE", "DENSIFY"):
            self._constants[outputs[0]] = self.constant(inputs[0])
            return
        rule = _RULES.get(name)
        if rule is None:
            raise ValueError(f"{name} is not converted")
        if options is None:
            options = operator  # not read: these operators have no options, or their own form
        if code == _CUSTOM:
            options = operator
        self._values[outputs[0]] = rule(self, inputs, outputs[0], options)

    def activated(self, x: str, which: int) -> str:
        """Add the activation that a TFLite operator carries."""
        if which == _NO_ACTIVATION:
            return x
        if which == _RELU:
            return self.out.node("Relu", x)
        if which == _RELU6:
            return self.out.node("Clip", x, self.out.scalar(0.0), self.out.scalar(6.0))
        raise ValueError(f"activation {which}")


def _same_pads(size: list[int], kernel: list[int], strides: list[int]) -> list[int]:
    """Return (top, left, bottom, right) of TFLite's padding SAME."""
    room = [
        max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(size, kernel, strides, strict=True)
    ]
    return [r // 2 for r in room] + [r - r // 2 for r in room]


def _conv(c: Converter, inputs: list[int], _out: int, options: Table) -> str:
    return _window(c, inputs, options, 3, c.constant(inputs[1]).transpose(0, 3, 1, 2), 1)


def _depthwise(c: Converter, inputs: list[int], _out: int, options: Table) -> str:
    channels = c.shape(inputs[0])[3]
    return _window(c, inputs, options, 4, c.constant(inputs[1]).transpose(3, 0, 1, 2), channels)


def _window(
    c: Converter, inputs: list[int], options: Table, activation: int, kernel: Array, group: int
) -> str:
    strides = [options.number(2), options.number(1)]
    taps = list(kernel.shape[2:])
    size = c.shape(inputs[0])[1:3]
    pads = _same_pads(size, taps, strides) if options.number(0, "b") == _SAME else [0] * 4
    y = c.out.node(
        *("Conv", c.value(inputs[0]), c.out.constant(kernel)),
        c.out.constant(c.constant(inputs[2])),
        kernel_shape=taps,
        strides=strides,
        pads=pads,
        group=group,
    )
    return c.activated(y, options.number(activation, "b"))


def _transposed(c: Converter, inputs: list[int], out: int, operator: Table) -> str:
    """MediaPipe's own transposed convolution: its options are padding and strides, three int32."""
    raw = operator.array(5, np.uint8).tobytes()
    _, wide, tall = struct.unpack_from("<iii", raw)
    kernel = c.constant(inputs[1]).transpose(3, 0, 1, 2)
    before, after = c.shape(inputs[0]), c.shape(out)
    room = [
        (before[1 + d] - 1) * s + kernel.shape[2 + d] - after[1 + d]
        for d, s in enumerate((tall, wide))
    ]
    return c.out.node(
        *("ConvTranspose", c.value(inputs[0]), c.out.constant(kernel)),
        c.out.constant(c.constant(inputs[2])),
        kernel_shape=list(kernel.shape[2:]),
        strides=[tall, wide],
        pads=[r // 2 for r in room] + [r - r // 2 for r in room],
    )


def _pool(op: str) -> Callable[[Converter, list[int], int, Table], str]:
    def rule(c: Converter, inputs: list[int], _out: int, options: Table) -> str:
        strides = [options.number(2), options.number(1)]
        taps = [options.number(4), options.number(3)]
        size = c.shape(inputs[0])[1:3]
        pads = _same_pads(size, taps, strides) if options.number(0, "b") == _SAME else [0] * 4
        y = c.out.node(op, c.value(inputs[0]), kernel_shape=taps, strides=strides, pads=pads)
        return c.activated(y, options.number(5, "b"))

    return rule


def _binary(op: str) -> Callable[[Converter, list[int], int, Table], str]:
    def rule(c: Converter, inputs: list[int], _out: int, options: Table) -> str:
        y = c.out.node(op, *(c.value(tensor) for tensor in inputs))
        return c.activated(y, options.number(0, "b"))

    return rule


def _unary(op: str) -> Callable[[Converter, list[int], int, Table], str]:
    return lambda c, inputs, _out, _options: c.out.node(op, c.value(inputs[0]))


def _concat(c: Converter, inputs: list[int], out: int, options: Table) -> str:
    rank = len(c.shape(out))
    axis = options.number(0) % rank
    if rank == 4:
        axis = _CHANNELS_FIRST.index(axis)
    return c.out.node("Concat", *(c.value(tensor) for tensor in inputs), axis=axis)


def _mean(c: Converter, inputs: list[int], out: int, _options: Table) -> str:
    y = c.out.node("GlobalAveragePool", c.value(inputs[0]))
    return y if len(c.shape(out)) == 4 else c.out.node("Flatten", y)


def _reshape(c: Converter, inputs: list[int], out: int, _options: Table) -> str:
    x = c.value(inputs[0])
    before, after = c.shape(inputs[0]), c.shape(out)
    if len(before) == 4 and before[1:3] != [1, 1]:
        x = c.out.node("Transpose", x, perm=[0, 2, 3, 1])
    shape = [after[d] for d in _CHANNELS_FIRST] if len(after) == 4 else after
    if len(after) == 4 and after[1:3] != [1, 1]:
        raise ValueError("a reshape to an image")
    return c.out.node("Reshape", x, c.out.whole(*shape))


def _resize(c: Converter, inputs: list[int], out: int, options: Table) -> str:
    how = "asymmetric"
    if options.number(2, "b"):
        how = "align_corners"
    elif options.number(3, "b"):
        how = "half_pixel"
    sizes = c.out.whole(*(c.shape(out)[d] for d in _CHANNELS_FIRST))
    modes = {"mode": "linear", "coordinate_transformation_mode": how}
    return c.out.node("Resize", c.value(inputs[0]), "", "", sizes, **modes)


def _pad(c: Converter, inputs: list[int], _out: int, _options: Table) -> str:
    pads = c.constant(inputs[1])[list(_CHANNELS_FIRST)]
    around = c.out.whole(*pads[:, 0].tolist(), *pads[:, 1].tolist())
    return c.out.node("Pad", c.value(inputs[0]), around, c.out.scalar(0.0))


def _shuffle(c: Converter, inputs: list[int], _out: int, options: Table) -> str:
    return c.out.node("DepthToSpace", c.value(inputs[0]), blocksize=options.number(0), mode="DCR")


def _prelu(c: Converter, inputs: list[int], _out: int, _options: Table) -> str:
    slope = c.constant(inputs[1]).reshape(-1, 1, 1)
    return c.out.node("PRelu", c.value(inputs[0]), c.out.constant(slope))


_RULES: dict[str, Callable[[Converter, list[int], int, Table], str]] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "Convolution2DTransposeBias": _transposed,
    "ADD": _binary("Add"),
    "MUL": _binary("Mul"),
    "RELU": _unary("Relu"),
    "PRELU": _prelu,
    "LOGISTIC": _unary("Sigmoid"),
    "HARD_SWISH": _unary("HardSwish"),
    "MAX_POOL_2D": _pool("MaxPool"),
    "AVERAGE_POOL_2D": _pool("AveragePool"),
    "CONCATENATION": _concat,
    "MEAN": _mean,
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": _resize,
    "PAD": _pad,
    "DEPTH_TO_SPACE": _shuffle,
}


def converted(path: Path) -> onnx.ModelProto:
    """Return the ONNX form of a TFLite model.

    Raises:
        ValueError: it has an operator that is not converted.
    """
    return Converter(path).model(path.stem)
