"""Builds the manifest (docs/mxq.md) and the layer table."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from maccel_aio.compiler.layout import channel_axes
from maccel_aio.compiler.onnxgraph import carrier
from maccel_aio.compiler.precision import macs
from maccel_aio.compiler.report import LayerReport
from maccel_aio.errors import CompileError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maccel_aio.compiler.ir import Graph, Node, Tensor
    from maccel_aio.compiler.lower import Lowered
    from maccel_aio.compiler.partition import Segment
    from maccel_aio.compiler.preprocess import Preprocess
    from maccel_aio.compiler.state import StateOptions

CORE_MODES = ("single", "multi", "global4", "global8", "auto")
_DEVICE_DTYPES = {
    "u8": "uint8", "s8": "int8", "s16": "int16", "s32": "int32", "f32": "float32",
}  # fmt: skip
_LAYOUTS = {1: "NCHW", 3: "NHWC"}


@dataclass(frozen=True)
class Placed:
    """A segment with the numbers of its sections in the section table.

    Attributes:
        lowered: None for CPU segments.
        sections: program and constants, or the ONNX section.
    """

    segment: Segment
    lowered: Lowered | None
    sections: tuple[int, ...]


@dataclass(frozen=True)
class Provenance:
    """Where a file comes from."""

    compiler: str
    options: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)


def build(
    graph: Graph,
    placed: Sequence[Placed],
    layers: Sequence[LayerReport],
    preprocess: Mapping[str, Preprocess],
    provenance: Provenance,
    *,
    images: bool = True,
    state: StateOptions | None = None,
) -> bytes:
    """Return the MANIFEST section: compact JSON, the same bytes for the same content.

    Args:
        graph: the model.
        placed: its segments in order.
        layers: the layer table, in the order of the segments' nodes.
        preprocess: of the inputs that take pixels.
        provenance: where the file comes from.
        images: say which tensors are images; callers may pass those in another layout, and get
            them back in the layout that they passed. Without it, all tensors have ONNX order.
        state: what the model keeps from one call to the next.
    """
    axes = channel_axes(graph) if images else {}
    where = {id(n): p.segment.name for p in placed for n in p.segment.nodes}
    names = [where[id(node)] for p in placed for node in p.segment.nodes]
    inputs = [_port(graph, name, axes, preprocess.get(name), True) for name in graph.inputs]
    batched = any(port["batch_axis"] is not None for port in inputs)
    variant = {
        "inputs": inputs,
        "outputs": [_port(graph, name, axes, None, batched) for name in graph.outputs],
        "segments": [_segment(p) for p in placed],
        "tensors": _between(graph, placed),
    }
    root = {
        "format": 1,
        "name": graph.name,
        "target": {"profile": "aries", "core_modes": list(CORE_MODES)},
        "variants": [variant],
        "layers": [_layer(row, name) for row, name in zip(layers, names, strict=True)],
        "state": None if state is None else state.to_json(graph),
        "provenance": {
            "source_sha256": graph.source_sha256,
            "compiler": provenance.compiler,
            "options": dict(provenance.options),
            "calibration": dict(provenance.calibration),
        },
    }
    return json.dumps(root, separators=(",", ":"), ensure_ascii=False).encode()


def _port(
    graph: Graph, name: str, axes: Mapping[str, int], how: Preprocess | None, batched: bool
) -> dict[str, Any]:
    tensor = graph.tensors[name]
    quant = tensor.storage
    shape = list(outline(tensor))
    dtype = carrier(tensor.dtype).name
    on_device = dtype == "float32" or tensor.quant is not None
    return {
        "name": name,
        "dtype": dtype,
        "shape": shape,
        "batch_axis": 0 if batched and shape and shape[0] == 1 else None,
        "layout": _LAYOUTS.get(axes.get(name, -1), "ND"),
        "scale": quant.scale,
        "zero_point": quant.zero,
        "device_dtype": _DEVICE_DTYPES[quant.dtype] if on_device else dtype,
        "preprocess": None if how is None else how.to_json(),
    }


def _segment(placed: Placed) -> dict[str, Any]:
    segment, lowered = placed.segment, placed.lowered
    head: dict[str, Any] = {"kind": "npu" if lowered else "cpu", "name": segment.name}
    if lowered is None:
        head["onnx"] = placed.sections[0]
        head["inputs"] = [{"name": name} for name in segment.inputs]
        head["outputs"] = [{"name": name} for name in segment.outputs]
        head["reason"] = segment.reason
        return head
    head["program"], head["consts"] = placed.sections
    head["inputs"] = _with_perms(segment.inputs, lowered.input_perms)
    head["outputs"] = _with_perms(segment.outputs, lowered.output_perms)
    return head


def _with_perms(names: Sequence[str], perms: Sequence[tuple[int, ...]]) -> list[dict[str, Any]]:
    return [{"name": name, "perm": list(perm)} for name, perm in zip(names, perms, strict=True)]


def _between(graph: Graph, placed: Sequence[Placed]) -> dict[str, Any]:
    """Return type and shape of the values that only pass between segments."""
    known = {*graph.inputs, *graph.outputs}
    names = [n for p in placed for n in p.segment.outputs if n not in known]
    return {name: _value(graph.tensors[name]) for name in names}


def outline(tensor: Tensor) -> tuple[int, ...]:
    """Return the shape of a tensor, negative numbers where a dimension is not known.

    Raises:
        CompileError: not even the number of dimensions is known.
    """
    found = tensor.outline
    if found is None:
        raise CompileError(f"{tensor.name!r}: its number of dimensions is not known")
    return found


def _value(tensor: Tensor) -> dict[str, Any]:
    return {"dtype": carrier(tensor.dtype).name, "shape": list(outline(tensor))}


def _layer(row: LayerReport, segment: str) -> dict[str, Any]:
    return {
        "index": row.index,
        "name": row.name,
        "op": row.op,
        "segment": segment,
        "macs": row.macs,
        "precision": row.precision,
        "output_shape": list(row.output_shape),
        "sqnr_db": row.sqnr_device_db,
    }


def layer_rows(graph: Graph, placed: Sequence[tuple[Segment, Lowered | None]]) -> list[LayerReport]:
    """Return one row per node, in the order in which nodes run."""
    rows: list[LayerReport] = []
    for segment, lowered in placed:
        weights = {} if lowered is None else _weight_bytes(lowered)
        for node in segment.nodes:
            index = len(rows)
            rows.append(
                LayerReport(
                    index=index,
                    name=node.name,
                    op=node.op,
                    where="npu" if segment.on_npu else "cpu",
                    reason=node.reason,
                    precision=_precision(graph, node),
                    macs=macs(graph, node) if segment.on_npu else 0,
                    weight_bytes=weights.get(index, 0),
                    output_shape=_row_shape(graph, node),
                    bands=1 if lowered is None else lowered.emitter.bands.get(index, 1),
                )
            )
    return rows


def _row_shape(graph: Graph, node: Node) -> tuple[int, ...]:
    """Return the shape of the first output that is there, as far as it is known."""
    name = next(out for out in node.outputs if out)
    return graph.tensors[name].outline or ()


def _weight_bytes(lowered: Lowered) -> dict[int, int]:
    """Return the bytes of constants per layer; shared ones count where they come first."""
    seen: set[int] = set()
    found: dict[int, int] = {}
    for insn in lowered.emitter.instructions:
        for number in insn.consts.values():
            if number not in seen:
                seen.add(number)
                size = lowered.emitter.constants[number].nbytes
                found[insn.layer] = found.get(insn.layer, 0) + size
    return found


def _precision(graph: Graph, node: Node) -> str:
    if node.reason:
        return "cpu"
    if node.tokens is not None or node.attrs.get("codes", False):
        return "int8"
    if node.op == "Recurrent" or (node.weights is not None and node.quant is None):
        return "bfloat16" if node.float_weights == "bf16" else "float32"
    if node.weights is not None and node.quant is not None:
        wide = (
            graph.tensors[node.inputs[0]].storage.dtype == "s16" or node.quant.weights.itemsize > 1
        )
        return "int16" if wide else "int8"
    stored = {graph.tensors[name].storage.dtype for name in (*graph.activations(node), node.output)}
    if "f32" in stored:
        return "float32"
    return "int16" if "s16" in stored else "int8"
