"""Rewrites of the ONNX model itself, so that every intermediate value has a name in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import numpy_helper

from maccel_aio.compiler.onnxgraph import attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MOST_BANDS = 1024
"""Above this many channels, the dense convolution costs more than a trip to the host."""

_MOST_SHIFT = 1e4
"""A larger shift would swallow the values that it is added to."""

_VARIADIC = {"Sum": "Add", "Max": "Max", "Min": "Min"}


def split_variadic(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return `model` with Sum, Max and Min of more than two operands as chains of two."""
    if not any(n.op_type in _VARIADIC and len(n.input) > 2 for n in model.graph.node):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    nodes: list[onnx.NodeProto] = []
    for node in result.graph.node:
        chained = node.op_type in _VARIADIC and len(node.input) > 2 and node.domain == ""
        nodes.extend(_chain(node) if chained else [node])
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    return result


def _chain(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    base = node.name or node.output[0]
    total, chain = node.input[0], list[onnx.NodeProto]()
    for k, operand in enumerate(node.input[1:], 1):
        last = k == len(node.input) - 1
        out = node.output[0] if last else f"{node.output[0]}:{k}"
        name = base if last else f"{base}:{k}"
        op = _VARIADIC[node.op_type]
        chain.append(onnx.helper.make_node(op, [total, operand], [out], name=name))
        total = out
    return chain


def shift_before_scale(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return `model` with ``c * x + d`` as ``c * (x + d / c)`` for numbers c and d.

    A convolution that reads the result can take the scale into its weights, whatever it pads.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    numbers = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
    makers = {node.output[0]: node for node in graph.node if node.output}
    read = [name for node in graph.node for name in node.input]
    wanted = {value.name for value in graph.output}
    changed = False
    for node in graph.node:
        shift, scaled = _with_number(node, "Add", numbers)
        scale_node = makers.get(scaled)
        if scale_node is None or read.count(scaled) != 1 or scaled in wanted:
            continue
        scale, source = _with_number(scale_node, "Mul", numbers)
        if not source or not _divides(numbers[shift], numbers[scale]):
            continue
        name = f"{node.output[0]}:shift"
        quotient = np.asarray(numbers[shift] / numbers[scale], np.float32)
        graph.initializer.append(numpy_helper.from_array(quotient, name))
        scale_node.op_type, node.op_type = "Add", "Mul"
        scale_node.input[:], node.input[:] = [source, name], [scaled, scale]
        changed = True
    return result if changed else model


def _with_number(
    node: onnx.NodeProto, op: str, numbers: dict[str, np.ndarray[Any, Any]]
) -> tuple[str, str]:
    """Return the names of the constant number and of the other operand, else two empty names."""
    if node.op_type != op or node.domain or len(node.input) != 2:
        return "", ""
    for k, name in enumerate(node.input):
        value = numbers.get(name)
        if value is not None and value.size == 1 and value.dtype == np.float32:
            other = node.input[1 - k]
            return ("", "") if other in numbers else (name, other)
    return "", ""


def _divides(shift: np.ndarray[Any, Any], scale: np.ndarray[Any, Any]) -> bool:
    ratio = abs(float(shift.ravel()[0])) / max(abs(float(scale.ravel()[0])), 1e-30)
    return shift.ndim == scale.ndim and bool(np.isfinite(ratio)) and ratio < _MOST_SHIFT


def expand_lrn(
    model: onnx.ModelProto, infer: Callable[[onnx.ModelProto], onnx.ModelProto]
) -> onnx.ModelProto:
    """Return `model` with LRN over the channels of images as operators that the NPU has.

    The sum of squares over neighbouring channels is a 1x1 convolution with a band of weights:
    ``x * (bias + alpha / size * sum(x * x)) ** -beta``.

    Args:
        model: with inferred shapes.
        infer: returns a model with inferred shapes.
    """
    sizes = _sizes(model)
    found = [n for n in model.graph.node if _band_fits(n, sizes.get(n.input[0] if n.input else ""))]
    if not found:
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    nodes: list[onnx.NodeProto] = []
    for node in result.graph.node:
        fits = _band_fits(node, sizes.get(node.input[0] if node.input else ""))
        nodes.extend(_bands(result.graph, node, sizes[node.input[0]][1]) if fits else [node])
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    return infer(result)


def _band_fits(node: onnx.NodeProto, shape: Sequence[int] | None) -> bool:
    if node.op_type != "LRN" or node.domain or shape is None or len(shape) != 4:
        return False
    return 0 < shape[1] <= _MOST_BANDS


def _bands(graph: onnx.GraphProto, node: onnx.NodeProto, channels: int) -> list[onnx.NodeProto]:
    attrs = attributes(node)
    size = int(attrs["size"])
    before, after = (size - 1) // 2, size // 2
    share = float(attrs.get("alpha", 1e-4)) / size
    from_to = np.arange(channels)[None, :] - np.arange(channels)[:, None]
    band = np.where((from_to >= -before) & (from_to <= after), share, 0.0)
    (x,), (out,) = node.input, node.output
    base = node.name or out
    constants = {
        "weight": band[:, :, None, None],
        "bias": np.full(channels, float(attrs.get("bias", 1.0))),
        "power": np.array(-float(attrs.get("beta", 0.75))),
    }
    for what, value in constants.items():
        array = numpy_helper.from_array(value.astype(np.float32), f"{out}:{what}")
        graph.initializer.append(array)
    made = onnx.helper.make_node
    return [
        made("Mul", [x, x], [f"{out}:square"], name=f"{base}:square"),
        made(
            *("Conv", [f"{out}:square", f"{out}:weight", f"{out}:bias"], [f"{out}:sum"]),
            name=f"{base}:sum",
            kernel_shape=[1, 1],
        ),
        made("Pow", [f"{out}:sum", f"{out}:power"], [f"{out}:factor"], name=f"{base}:factor"),
        made("Mul", [x, f"{out}:factor"], [out], name=base),
    ]


def settle_ceil(
    model: onnx.ModelProto, infer: Callable[[onnx.ModelProto], onnx.ModelProto]
) -> onnx.ModelProto:
    """Return `model` with pools in ceil mode whose last window starts in the padding made explicit.

    Runtimes leave such a window out; ONNX's shape inference counts it. Padding says it without
    doubt.

    Args:
        model: with inferred shapes.
        infer: returns a model with inferred shapes.
    """
    done = 0
    while True:
        sizes = _sizes(model)
        pools = [n for n in model.graph.node if n.op_type in ("MaxPool", "AveragePool")]
        found = next((n for n in pools[done:] if _settle(n, sizes.get(n.input[0]))), None)
        if found is None:
            return model
        done = next(k for k, node in enumerate(pools) if node is found) + 1
        del model.graph.value_info[:]
        for output in model.graph.output:
            output.type.tensor_type.ClearField("shape")
        model = infer(model)


def _sizes(model: onnx.ModelProto) -> dict[str, list[int]]:
    values = (*model.graph.input, *model.graph.value_info)
    return {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


def _settle(node: onnx.NodeProto, shape: Sequence[int] | None) -> bool:
    """Replace ceil mode by padding if a window starts in the padding; return whether it did."""
    attrs = attributes(node)
    axes = len(attrs.get("kernel_shape", ()))
    explicit = attrs.get("auto_pad", "NOTSET") == "NOTSET"
    if not attrs.get("ceil_mode", 0) or not explicit or attrs.get("count_include_pad", 0):
        return False
    if shape is None or len(shape) != axes + 2 or min(shape) < 1:
        return False
    pads = [int(p) for p in attrs.get("pads", [0] * (2 * axes))]
    ends = [_end_pad(attrs, d, shape[2 + d], pads[d], pads[axes + d]) for d in range(axes)]
    if None not in ends:
        return False
    # Rounded down, the axes that lose a window are right as they are.
    full = [old if new is None else new for old, new in zip(pads[axes:], ends, strict=True)]
    kept = [a for a in node.attribute if a.name not in ("ceil_mode", "pads")]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.attribute.append(onnx.helper.make_attribute("pads", pads[:axes] + full))
    return True


def _end_pad(attrs: dict[str, Any], d: int, size: int, begin: int, end: int) -> int | None:
    """Return the padding behind one axis that gives all windows; None if the last is left out."""
    stride = int((attrs.get("strides") or [1] * (d + 1))[d])
    span = (int(attrs["kernel_shape"][d]) - 1) * int((attrs.get("dilations") or [1] * (d + 1))[d])
    room = size + begin + end - span - 1
    windows = -(-room // stride) + 1
    if (windows - 1) * stride >= size + begin:
        return None
    return max(end, (windows - 1) * stride + span + 1 - size - begin)
