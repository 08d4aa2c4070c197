"""Reads an ONNX model into the compiler's graph: shapes bound, simplified, inferred."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper, shape_inference

from maccel_aio.compiler.attention import expand_transformers
from maccel_aio.compiler.bind import bind_shapes, fix_inputs
from maccel_aio.compiler.branches import inline_branches
from maccel_aio.compiler.integers import views_last
from maccel_aio.compiler.ir import CompileError, Graph, Node, Tensor
from maccel_aio.compiler.onnxgraph import attributes, captured
from maccel_aio.compiler.pads import expand_pads
from maccel_aio.compiler.passes.fold import fold_constants
from maccel_aio.compiler.probe import probe_shapes
from maccel_aio.compiler.qdq import has_pairs, remove_pairs
from maccel_aio.compiler.qdynamic import expand_dynamic, is_dynamic
from maccel_aio.compiler.qoperator import expand_qoperators
from maccel_aio.compiler.rewrite import (
    expand_lrn,
    settle_ceil,
    shift_before_scale,
    split_variadic,
)
from maccel_aio.compiler.sequences import unpack_edges

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

    from maccel_aio.compiler.ir import Array
    from maccel_aio.compiler.qdq import GivenScales

ModelLike = onnx.ModelProto | bytes | str | os.PathLike[str]

_log = logging.getLogger("maccel_aio.compiler")
_NEWEST_OPSET = 24
_NO_UNKNOWN = 4
"""The first IR version in whose files no exporter wrote 0 for a size that it did not know."""


def import_model(
    model: ModelLike,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    constants: Mapping[str, ArrayLike] | None = None,
    name: str | None = None,
    simplify: bool = True,
) -> Graph:
    """Return the graph of an ONNX model.

    Args:
        model: a path, the bytes of a file, or a loaded model (not changed).
        shapes: shapes of inputs by name; they win over what the file says. -k stands for any
            multiple of k.
        constants: values of inputs by name, which then are none any more.
        name: of the result; the file's or the graph's name when left out.
        simplify: run onnxslim. If it fails on a model, the model is taken as it is.

    Raises:
        CompileError: it cannot be read, an input has no fixed shape, or `shapes` does not fit.
        FileNotFoundError: there is no such file.
    """
    proto, digest, stem = _load(model)
    if not proto.graph.node:
        raise CompileError("the ONNX model has no nodes")
    _check_opset(proto)
    if proto.ir_version < _NO_UNKNOWN:
        _forget_zeros(proto)
    _drop_initializer_inputs(proto)
    shapes = {**unpack_edges(proto), **(shapes or {})}
    symbols = fix_inputs(proto, constants or {})
    ranks = _ranks(proto)
    outputs = _drop_passed(proto)
    bound = bind_shapes(proto, shapes, symbols)
    _check_conflicts(proto, bound.conflicts)
    proto, given = _without_codes(proto)
    proto = shift_before_scale(_simplify(proto) if simplify else proto)
    proto = probe_shapes(infer(split_variadic(proto)), bound.variable, infer)
    proto = inline_branches(proto, _constants, infer)
    proto = views_last(expand_transformers(proto, infer), infer)
    proto = expand_pads(expand_lrn(settle_ceil(proto, infer), infer), infer)
    graph = to_graph(proto, name or stem or proto.graph.name or "model")
    graph.given_scales = given
    graph.source_sha256 = digest
    graph.symbolic_batch = bound.symbolic
    for name, shape in bound.variable.items():
        graph.tensors[name].pattern = shape
    graph.outputs = outputs
    for name in outputs:
        if graph.tensors[name].outline is None and name in ranks:
            graph.tensors[name].pattern = (-1,) * ranks[name]
    return graph


def _without_codes(model: onnx.ModelProto) -> tuple[onnx.ModelProto, GivenScales | None]:
    """Return the float model that a quantised one stands for, and what it prescribes."""
    dynamic = is_dynamic(model)
    model = expand_dynamic(expand_qoperators(model))
    if not has_pairs(model):
        return model, None
    plain, given = remove_pairs(model)
    return plain, replace(given, dynamic=dynamic)


def _load(model: ModelLike) -> tuple[onnx.ModelProto, str, str]:
    if isinstance(model, onnx.ModelProto):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        data = copy.SerializeToString(deterministic=True)
        return copy, hashlib.sha256(data).hexdigest(), ""
    if isinstance(model, bytes):
        return _parse(model, None), hashlib.sha256(model).hexdigest(), ""
    path = Path(model)
    data = path.read_bytes()
    return _parse(data, path), hashlib.sha256(data).hexdigest(), path.stem


def _parse(data: bytes, path: Path | None) -> onnx.ModelProto:
    where = str(path) if path else None
    try:
        proto = onnx.load_model_from_string(data)
        if path is not None:
            onnx.load_external_data_for_model(proto, str(path.parent))
    except (DecodeError, ValueError, OSError, onnx.checker.ValidationError) as error:
        raise CompileError(f"not a readable ONNX model: {error}", path=where) from error
    return proto


def _check_opset(model: onnx.ModelProto) -> None:
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), None)
    if version is not None and version > _NEWEST_OPSET:
        _log.warning("ONNX opset %d is newer than %d", version, _NEWEST_OPSET)


def _drop_passed(model: onnx.ModelProto) -> list[str]:
    """Take outputs that are inputs out of `model`; return the names of all outputs."""
    given = {value.name for value in model.graph.input}
    outputs = [value.name for value in model.graph.output]
    kept = [value for value in model.graph.output if value.name not in given]
    if not kept:
        raise CompileError("the model has no outputs but its inputs: there is nothing to compile")
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return outputs


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    """Return how many dimensions the file says that its outputs have."""
    kinds = {value.name: value.type.tensor_type for value in model.graph.output}
    return {name: len(kind.shape.dim) for name, kind in kinds.items() if kind.HasField("shape")}


def _check_conflicts(model: onnx.ModelProto, conflicts: Sequence[str]) -> None:
    """Refuse sizes that differ where the model has one symbol, if they do not fit its operators.

    Some exporters use a name for dimensions that have nothing to do with each other.
    """
    if not conflicts:
        return
    try:
        shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (shape_inference.InferenceError, RuntimeError, ValueError) as error:
        why = " ".join(str(error).split())
        raise CompileError(f"{'; '.join(conflicts)}: the shapes do not fit ({why})") from error


def _forget_zeros(model: onnx.ModelProto) -> None:
    for value in model.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_value") and dim.dim_value == 0:
                dim.ClearField("dim_value")


def _drop_initializer_inputs(model: onnx.ModelProto) -> None:
    """Keep only what a caller feeds among the inputs (old files list the weights, too)."""
    weights = {value.name for value in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.ir_version = max(model.ir_version, 4)


def _simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnxslim

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    before = [v.name for v in (*model.graph.input, *model.graph.output)]
    try:
        slim = onnxslim.slim(copy)
    except Exception as error:  # noqa: BLE001  (third-party rewriting: any failure means "as it is")
        _log.warning("onnxslim failed (%s): compiling the model as it is", error)
        return model
    if slim is None or [v.name for v in (*slim.graph.input, *slim.graph.output)] != before:
        _log.warning("onnxslim changed the model's interface: compiling the model as it is")
        return model
    if not _is_whole(slim.graph):
        _log.warning("onnxslim lost a value of the model: compiling the model as it is")
        return model
    return _with_sound_shapes(slim, model)


def _is_whole(graph: onnx.GraphProto) -> bool:
    """Whether every value that is read has been made before."""
    made = {value.name for value in (*graph.input, *graph.initializer)}
    for node in graph.node:
        if any(name and name not in made for name in node.input):
            return False
        made.update(node.output)
    return all(value.name in made for value in graph.output)


def _with_sound_shapes(slim: onnx.ModelProto, model: onnx.ModelProto) -> onnx.ModelProto:
    """Return `slim` with inferred shapes; what onnxslim says counts only where nothing is known.

    Its own inference takes an empty list of axes for no axes, for example.
    """
    claimed = list(slim.graph.value_info)
    del slim.graph.value_info[:]
    del slim.graph.output[:]
    slim.graph.output.extend(model.graph.output)
    found = infer(slim)
    known = [v for v in found.graph.value_info if _tensor(v).shape is not None]
    names = {value.name for value in known}
    del found.graph.value_info[:]
    found.graph.value_info.extend(known)
    found.graph.value_info.extend(value for value in claimed if value.name not in names)
    return found


def _constants(model: onnx.ModelProto) -> dict[str, Array]:
    """Return the values that do not depend on the inputs."""
    graph = to_graph(model, "")
    wanted = [node.inputs[0] for node in graph.nodes if node.op == "If"]
    graph.outputs += [name for name in wanted if name not in graph.outputs]
    fold_constants(graph)
    return {name: t.const for name, t in graph.tensors.items() if t.const is not None}


def infer(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return `model` with the shapes that inference finds; unknown operators are left out."""
    try:
        return shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
    except (shape_inference.InferenceError, RuntimeError, ValueError) as error:
        _log.warning("shape inference failed: %s", error)
        return model


def to_graph(model: onnx.ModelProto, name: str) -> Graph:
    """Return `model`, which has fixed input shapes, node by node as a graph."""
    tensors: dict[str, Tensor] = {}
    graph = model.graph
    for value in (*graph.value_info, *graph.output, *graph.input):
        tensors[value.name] = _tensor(value)
    for initializer in graph.initializer:
        array = numpy_helper.to_array(initializer)
        tensors[initializer.name] = Tensor(initializer.name, array.shape, array.dtype, array)
    nodes = [_node(proto, index) for index, proto in enumerate(graph.node)]
    for node in nodes:
        for tensor in (*node.inputs, *node.outputs):
            if tensor and tensor not in tensors:
                tensors[tensor] = Tensor(tensor, None, np.dtype(np.float32))
    inputs = [value.name for value in graph.input]
    outputs = [value.name for value in graph.output]
    return Graph(name, nodes, tensors, inputs, outputs, model)


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    shape: tuple[int, ...] | None = None
    pattern: tuple[int, ...] | None = None
    if kind.HasField("shape"):
        sizes = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
        if all(size >= 0 for size in sizes):
            shape = sizes
        else:
            pattern = tuple(max(size, -1) for size in sizes)
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    except (KeyError, ValueError):
        dtype = np.dtype(object)
    return Tensor(value.name, shape, dtype, pattern=pattern)


def _node(proto: onnx.NodeProto, index: int) -> Node:
    name = proto.name or (proto.output[0] if proto.output else f"{proto.op_type}_{index}")
    op = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}.{proto.op_type}"
    attrs: dict[str, Any] = attributes(proto)
    inputs = [*proto.input, *captured(proto)]
    return Node(op, name, inputs, list(proto.output), attrs, source=(name,))
