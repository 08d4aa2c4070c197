"""Sequences and optional values at the edges of a case, taken apart: models pass tensors only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper

if TYPE_CHECKING:
    from tests.conformance.cases import Case


def unpack(case: Case) -> Case:
    """Return the case with a tensor for every element of a sequence, in and out."""
    edges = (*case.model.graph.input, *case.model.graph.output)
    if all(value.type.HasField("tensor_type") for value in edges):
        return case
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    feed, wanted = dict(case.feed), list[Any]()
    for value in case.model.graph.input:
        if not value.type.HasField("tensor_type"):
            _take_input(model.graph, value, feed)
    for value, result in zip(case.model.graph.output, case.wanted, strict=True):
        if value.type.HasField("tensor_type"):
            wanted.append(result)
        else:
            wanted += _take_output(model.graph, value, result)
    return case._replace(model=model, feed=feed, wanted=wanted)


def _take_input(graph: onnx.GraphProto, value: onnx.ValueInfoProto, feed: dict[str, Any]) -> None:
    """Make an input of tensors: an optional one holds a sequence, a tensor or nothing."""
    given = feed.pop(value.name)
    optional = value.type.HasField("optional_type")
    kind = value.type.optional_type.elem_type if optional else value.type
    inner = f"{value.name}_inner" if optional else value.name
    parts = given if isinstance(given, list) else [] if given is None else [given]
    names = [f"{value.name}_{k}" for k in range(len(parts))]
    nodes: list[onnx.NodeProto] = []
    if kind.HasField("sequence_type") and given is not None:
        element = kind.sequence_type.elem_type.tensor_type.elem_type
        nodes.append(
            helper.make_node("SequenceConstruct", names, [inner])
            if parts
            else helper.make_node("SequenceEmpty", [], [inner], dtype=element)
        )
    elif parts:
        inner = names[0]
    if optional:
        kinds = {} if given is not None else {"type": kind}
        nodes.append(
            helper.make_node(
                "Optional", [inner] if given is not None else [], [value.name], **kinds
            )
        )
    kept = [other for other in graph.input if other.name != value.name]
    del graph.input[:]
    graph.input.extend(kept)
    graph.input.extend(_info(name, part) for name, part in zip(names, parts, strict=True))
    body = [*nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(body)
    feed.update(zip(names, map(np.asarray, parts), strict=True))


def _take_output(graph: onnx.GraphProto, value: onnx.ValueInfoProto, result: Any) -> list[Any]:
    """Make tensors of an output; return what they should be."""
    optional = value.type.HasField("optional_type")
    kind = value.type.optional_type.elem_type if optional else value.type
    inner = f"{value.name}_inner" if optional else value.name
    if optional:
        graph.node.append(helper.make_node("OptionalGetElement", [value.name], [inner]))
    parts = result if isinstance(result, list) else [result]
    names = [f"{value.name}_{k}" for k in range(len(parts))]
    for k, name in enumerate(names):
        graph.initializer.append(helper.make_tensor(f"{name}_at", onnx.TensorProto.INT64, [], [k]))
        graph.node.append(
            helper.make_node("SequenceAt", [inner, f"{name}_at"], [name])
            if kind.HasField("sequence_type")
            else helper.make_node("Identity", [inner], [name])
        )
    kept = [other for other in graph.output if other.name != value.name]
    del graph.output[:]
    graph.output.extend(kept)
    graph.output.extend(_info(name, part) for name, part in zip(names, parts, strict=True))
    return list(parts)


def _info(name: str, part: Any) -> onnx.ValueInfoProto:
    array = np.asarray(part)
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, kind, array.shape)
