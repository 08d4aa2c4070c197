"""Small helpers on ONNX protos: attributes, captured names, and cutting out a part of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import numpy_helper

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from maccel_aio.compiler.ir import Array, Tensor


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the attributes of `node` as Python values; tensors become arrays."""
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            value = numpy_helper.to_array(value)
        elif isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS):
            value = list(value)
        found[attribute.name] = value
    return found


def inner_graphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the bodies and branches of `node`."""
    single = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return single + [graph for attribute in node.attribute for graph in attribute.graphs]


def captured(node: onnx.NodeProto) -> list[str]:
    """Return the names that subgraphs of `node` read from outside (If, Loop, Scan)."""
    names: dict[str, None] = {}
    for graph in inner_graphs(node):
        names.update(dict.fromkeys(_free_names(graph)))
    return [name for name in names if name not in node.input]


def _free_names(graph: onnx.GraphProto) -> list[str]:
    bound = {value.name for value in (*graph.input, *graph.initializer)}
    free: list[str] = []
    for node in graph.node:
        free += [n for n in (*node.input, *captured(node)) if n and n not in bound]
        bound.update(node.output)
    free += [value.name for value in graph.output if value.name not in bound]
    return free


def needed_nodes(
    model: onnx.ModelProto, inputs: Iterable[str], outputs: Iterable[str]
) -> list[onnx.NodeProto]:
    """Return the nodes of `model`, in order, that compute `outputs` from `inputs`."""
    producers = {name: k for k, n in enumerate(model.graph.node) for name in n.output if name}
    stop, wanted, open_names = set(inputs), set[int](), list(outputs)
    while open_names:
        name = open_names.pop()
        index = producers.get(name)
        if name in stop or index is None or index in wanted:
            continue
        wanted.add(index)
        node = model.graph.node[index]
        open_names += [n for n in (*node.input, *captured(node)) if n]
    return [model.graph.node[k] for k in sorted(wanted)]


def extract(
    model: onnx.ModelProto,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    constants: Mapping[str, Array],
) -> onnx.ModelProto:
    """Return the part of `model` that computes `outputs` from `inputs`.

    Args:
        model: the whole model.
        inputs: tensors where the part begins; with shapes when they are static.
        outputs: tensors that it returns.
        constants: tensors of `model` that the compiler has computed: they become initializers.
    """
    stop = [t.name for t in inputs] + list(constants)
    nodes = needed_nodes(model, stop, [t.name for t in outputs])
    read = {n for node in nodes for n in (*node.input, *captured(node)) if n}
    read.update(t.name for t in outputs)
    weights = [w for w in model.graph.initializer if w.name in read and w.name not in constants]
    weights += [
        numpy_helper.from_array(array, name) for name, array in constants.items() if name in read
    ]
    graph = onnx.helper.make_graph(
        nodes, "segment", [_value(t) for t in inputs], [_value(t) for t in outputs], weights
    )
    _carry(graph)
    _forget_inner_shapes(graph.node)
    part = onnx.helper.make_model(graph, opset_imports=list(model.opset_import))
    part.ir_version = model.ir_version
    part.functions.extend(model.functions)
    return part


def carrier(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the numpy type in which values of ``dtype`` pass between segments, without loss.

    Types that numpy does not have (bfloat16, float of 8 bits, integers of 4 bits) have another.
    """
    if dtype.isbuiltin == 1 or dtype.kind == "O":
        return dtype
    if "int" in dtype.name:
        return np.dtype(np.uint8 if dtype.name.startswith("u") else np.int8)
    return np.dtype(np.float32)


def _carry(graph: onnx.GraphProto) -> None:
    """Cast the inputs and outputs of ``graph`` from and to what carries them."""
    casts: list[onnx.NodeProto] = []
    for value in (*graph.input, *graph.output):
        kind = value.type.tensor_type.elem_type
        carried = onnx.helper.np_dtype_to_tensor_dtype(
            carrier(onnx.helper.tensor_dtype_to_np_dtype(kind))
        )
        if carried == kind:
            continue
        inner = f"{value.name}:inner"
        rename_value(graph.node, value.name, inner)
        for weight in graph.initializer:
            weight.name = inner if weight.name == value.name else weight.name
        ends = (value.name, inner, kind) if value in graph.input else (inner, value.name, carried)
        casts.append(onnx.helper.make_node("Cast", ends[:1], ends[1:2], to=ends[2]))
        value.type.tensor_type.elem_type = carried
    inward = [node for node in casts if node.output[0].endswith(":inner")]
    nodes = [*inward, *graph.node, *(node for node in casts if node not in inward)]
    del graph.node[:]
    graph.node.extend(nodes)


def _forget_inner_shapes(nodes: Iterable[onnx.NodeProto]) -> None:
    """Take out what inference wrote into loop bodies: it may hold for the first round only."""
    for node in nodes:
        for graph in inner_graphs(node):
            del graph.value_info[:]
            _forget_inner_shapes(graph.node)


def rename_value(nodes: Iterable[onnx.NodeProto], old: str, new: str) -> None:
    """Let ``nodes``, and the graphs inside them, call a value by another name."""
    for node in nodes:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
        for graph in inner_graphs(node):
            bound = {value.name for value in (*graph.input, *graph.initializer)}
            if old not in bound:
                rename_value(graph.node, old, new)
                for value in graph.output:
                    value.name = new if value.name == old else value.name


def _value(tensor: Tensor) -> onnx.ValueInfoProto:
    kind = onnx.helper.np_dtype_to_tensor_dtype(tensor.dtype)
    return onnx.helper.make_tensor_value_info(tensor.name, kind, tensor.shape)
