"""The ``light_*`` networks that ship with the onnx package, with random weights in them.

They are whole topologies whose weights were replaced by ConstantOfShape nodes. Their values are of
no use; shapes and operators are those of the real networks.
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, version_converter

from peering.graph import OPSET, he_normal

_IR_VERSION = 9
_WEIGHTED = ("Conv", "Gemm")


def light_model(name: str, seed: int = 0) -> onnx.ModelProto:
    """Return ``light_<name>`` with random weights: one input, one output, current operators."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    model = onnx.load(folder / f"light_{name}.onnx")
    _fill(model.graph, np.random.default_rng(seed))
    _drop_unread(model.graph)
    model.ir_version = _IR_VERSION
    model = version_converter.convert_version(model, OPSET)
    model.ir_version = _IR_VERSION
    onnx.checker.check_model(model)
    return model


def _fill(graph: onnx.GraphProto, rng: np.random.Generator) -> None:
    """Replace the nodes that stand for weights by random constants."""
    readers = {name: (node, k) for node in graph.node for k, name in enumerate(node.input)}
    shapes = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape" or node.input[0] not in shapes:
            kept.append(node)
            continue
        name = node.output[0]
        shape = tuple(int(size) for size in shapes[node.input[0]])
        value = _value(rng, shape, *readers[name], readers)
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    del graph.node[:]
    graph.node.extend(kept)


def _value(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    reader: onnx.NodeProto,
    slot: int,
    readers: dict[str, tuple[onnx.NodeProto, int]],
) -> NDArray[np.floating]:
    """Return random values that suit input `slot` of `reader`."""
    if reader.op_type in _WEIGHTED and slot == 1:
        return he_normal(rng, shape)
    after, _ = readers.get(reader.output[0], (reader, 0))
    if reader.op_type == "BatchNormalization":
        # Input, scale, bias, mean, variance. Small gains keep a chain of residuals from growing.
        if slot == 1 and after.op_type == "Sum":
            return rng.uniform(0.2, 0.4, shape)
        is_gain = slot in (1, 4)
    else:
        # Some networks spell the scale out: Unsqueeze, then Mul, then Add with another one.
        is_gain = reader.op_type == "Unsqueeze" and after.op_type == "Mul"
    return rng.uniform(0.8, 1.2, shape) if is_gain else rng.normal(0, 0.1, shape)


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Forget constants and inputs that nothing reads, and inputs that are constants."""
    read = {name for node in graph.node for name in node.input}
    constants = [c for c in graph.initializer if c.name in read]
    known = {c.name for c in constants}
    inputs = [i for i in graph.input if i.name in read and i.name not in known]
    del graph.initializer[:], graph.input[:]
    graph.initializer.extend(constants)
    graph.input.extend(inputs)
