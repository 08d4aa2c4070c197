"""The ``light_*`` networks that ship with the onnx package, with random weights in them.

They are whole topologies whose weights were replaced by ConstantOfShape nodes; shapes and operators
are those of the real networks. The random weights are settled on pictures, and the Softmax behind
the classifier is left out: onnxruntime's quantiser stores its output in steps of 1/256, and a
thousand probabilities of an untrained network are all about that small, so that signal over noise
would measure that step and nothing else.
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, version_converter

from peering.graph import OPSET, he_normal
from peering.settle import SHIFT, settle

_IR_VERSION = 9
_WEIGHTED = ("Conv", "Gemm")
_VECTORED = ("BatchNormalization", "Unsqueeze")
_LOGITS = (1, 1000)


def light_model(name: str, pictures: NDArray[np.float32], seed: int = 0) -> onnx.ModelProto:
    """Return ``light_<name>`` with random weights: one input, one output, current operators.

    Args:
        name: without ``light_``.
        pictures: ``[n, 3, 224, 224]``, normalised, on which the weights are settled.
        seed: of the random numbers.
    """
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    model = onnx.load(folder / f"light_{name}.onnx")
    _fill(model.graph, np.random.default_rng(seed))
    _drop_unread(model.graph)
    model.ir_version = _IR_VERSION
    model = version_converter.convert_version(model, OPSET)
    model.ir_version = _IR_VERSION
    _end_at_logits(model.graph)
    (value,) = model.graph.input
    settle(model, {value.name: pictures})
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
    for constant in graph.initializer:
        # Short vectors kept the values of training, which do not go with random weights.
        reader, slot = readers.get(constant.name, (None, 0))
        if reader is not None and reader.op_type in _VECTORED and constant.name in shapes:
            value = _value(rng, tuple(constant.dims), reader, slot, readers)
            constant.CopyFrom(numpy_helper.from_array(value.astype(np.float32), constant.name))
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
        if slot == 2 and after.op_type == "Sum":
            return rng.normal(0.3, 0.1, shape)
        if slot == 2 and after.op_type in ("Relu", "Mul"):
            return rng.normal(SHIFT, 0.1, shape)
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


def _end_at_logits(graph: onnx.GraphProto) -> None:
    """Make what the last Softmax reads the output, and forget what only led to the old one."""
    ends = [node.input[0] for node in graph.node if node.op_type == "Softmax"]
    if not ends:
        return
    wanted, kept = {ends[-1]}, []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    del graph.node[:], graph.output[:]
    graph.node.extend(reversed(kept))
    graph.output.append(helper.make_tensor_value_info(ends[-1], TensorProto.FLOAT, _LOGITS))
    _drop_unread(graph)
