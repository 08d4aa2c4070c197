"""Computes what depends on constants only, and removes nodes that do nothing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from maccel_aio.compiler.passes.dead import drop_dead
from maccel_aio.compiler.passes.shapes import trains

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Array, Graph, Node

_log = logging.getLogger("maccel_aio.compiler")
_RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli"}
_LARGEST = 1 << 26  # elements: a larger result is computed at run time rather than stored


def fold_constants(graph: Graph) -> None:
    """Turn outputs of nodes with constant inputs, and static shapes, into constants."""
    for node in graph.walk():
        if node.op in _RANDOM or _subgraphs(node):
            continue
        values = _static(graph, node)
        if values is None:
            continue
        for name, value in zip(node.outputs, values, strict=False):
            tensor = graph.tensors[name]
            tensor.const, tensor.shape, tensor.dtype = value, value.shape, value.dtype
    kept = [n for n in graph.nodes if not all(_known(graph, out) for out in n.outputs if out)]
    graph.nodes = kept
    drop_dead(graph)


def _known(graph: Graph, name: str) -> bool:
    return graph.tensors[name].const is not None


def _subgraphs(node: Node) -> bool:
    return any(isinstance(v, onnx.GraphProto) for v in node.attrs.values())


def _static(graph: Graph, node: Node) -> list[Array] | None:
    """Return the values of a node's outputs, or None when they are not known."""
    shape = graph.tensors[node.inputs[0]].shape if node.inputs else None
    if node.op == "Shape" and shape is not None:
        part = shape[node.attrs.get("start", 0) : node.attrs.get("end", len(shape))]
        return [np.asarray(part, np.int64)]
    if node.op == "Size" and shape is not None:
        return [np.asarray(int(np.prod(shape)), np.int64)]
    inputs = [graph.const(name) for name in node.inputs if name]
    if any(value is None for value in inputs):
        return None
    sizes = [graph.tensors[out].shape for out in node.outputs if out]
    if any(size is not None and np.prod(size, dtype=np.int64) > _LARGEST for size in sizes):
        return None
    return _evaluate(graph, node)


def _evaluate(graph: Graph, node: Node) -> list[Array] | None:
    domain, _, op = node.op.rpartition(".")
    proto = onnx.helper.make_node(op, node.inputs, node.outputs, domain=domain, **_raw(node.attrs))
    opsets = {o.domain: o.version for o in graph.model.opset_import}
    feed = {name: graph.const(name) for name in node.inputs if name}
    names = [out for out in node.outputs if out]
    try:
        part = onnx.helper.make_graph(
            [proto],
            "constant",
            [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in feed],
            [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in names],
        )
        imports = [onnx.helper.make_opsetid(d, v) for d, v in opsets.items()]
        model = onnx.helper.make_model(part, opset_imports=imports)
        values = ReferenceEvaluator(model).run(None, feed)
    except Exception as error:  # noqa: BLE001  (any operator of any domain: not folding is always right)
        _log.debug("cannot compute %s at compile time: %s", node.name, error)
        return None
    if any(isinstance(value, list) or value is None for value in values):
        return None  # a sequence is no constant of a graph
    return [np.asarray(value) for value in values]


def _raw(attrs: dict[str, Any]) -> dict[str, Any]:
    return {
        key: onnx.numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for key, value in attrs.items()
    }


def remove_identities(graph: Graph) -> None:
    """Let readers of no-op nodes read their input; graph outputs keep their node."""
    renamed: dict[str, str] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        node.inputs = [renamed.get(name, name) for name in node.inputs]
        if _is_noop(graph, node) and node.output not in graph.outputs:
            renamed[node.output] = node.inputs[0]
        else:
            kept.append(node)
    graph.replace_nodes(kept)


def _is_noop(graph: Graph, node: Node) -> bool:
    if node.op == "Identity":
        return True
    if node.op == "Dropout":
        used = {name for other in graph.nodes for name in other.inputs} | set(graph.outputs)
        return not any(out in used for out in node.outputs[1:]) and not trains(graph, node)
    if node.op in ("Cast", "Reshape", "Transpose", "Expand", "Pad"):
        return _same(graph, node)
    return False


def _same(graph: Graph, node: Node) -> bool:
    before, after = graph.tensors[node.inputs[0]], graph.tensors[node.output]
    if before.shape is None or before.shape != after.shape or before.dtype != after.dtype:
        return False
    if node.op == "Pad":
        return _pads_nothing(graph, node)
    if node.op == "Transpose":
        moved = [p for p in node.attrs.get("perm", ()) if before.shape[p] != 1]
        return bool(node.attrs.get("perm")) and moved == sorted(moved)
    return True


def _pads_nothing(graph: Graph, node: Node) -> bool:
    """Whether all pads are zero; with negative ones a moved image may have the old shape."""
    pads = node.attrs.get("pads")
    if pads is None and len(node.inputs) > 1:
        pads = graph.const(node.inputs[1])
    return pads is not None and not np.any(pads)
