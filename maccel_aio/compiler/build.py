"""The bytes of a model file, from a graph whose formats are settled."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from maccel_aio.compiler import container, manifest
from maccel_aio.compiler.isa import Section
from maccel_aio.compiler.lower import Lowered, lower_bundle
from maccel_aio.compiler.onnxgraph import extract
from maccel_aio.compiler.partition import Segment
from maccel_aio.compiler.precision import macs
from maccel_aio.compiler.program import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maccel_aio.compiler.ir import Graph, Node
    from maccel_aio.compiler.measure import Measurement
    from maccel_aio.compiler.numeric import NumericResult
    from maccel_aio.compiler.preprocess import Preprocess
    from maccel_aio.compiler.report import LayerReport
    from maccel_aio.compiler.state import StateOptions


@dataclass(frozen=True)
class Built:
    """A finished file and what the report needs of it."""

    data: bytes
    rows: list[LayerReport]
    arena_bytes: int


def build(
    graph: Graph,
    segments: list[Segment],
    numbers: NumericResult,
    precision: str,
    measured: Measurement | None = None,
    l2_bytes: int = 0,
    state: StateOptions | None = None,
) -> Built:
    """Return the file; without a measurement, one for measuring, with tensors in ONNX order."""
    decibel = {} if measured is None else measured.tensors
    order = [node for segment in segments for node in current(graph, segment).nodes]
    layers = {id(node): row for row, node in enumerate(order)}
    tables = {
        name: pixel_table(graph, name, how)
        for name, how in numbers.preprocess.items()
        if graph.tensors[name].storage.dtype == "u8"
    }
    lowered = [_lower(graph, segment, layers, tables, l2_bytes) for segment in segments]
    pairs = [(current(graph, s), done) for s, done in zip(segments, lowered, strict=True)]
    makers = {out: row for row, node in enumerate(order) for out in node.outputs}
    rows = [
        replace(row, sqnr_device_db=decibel.get(node.output), reads=_reads(node, makers))
        for row, node in zip(manifest.layer_rows(graph, pairs), order, strict=True)
    ]
    sections: list[tuple[Section, bytes]] = []
    placed = [_place(graph, segment, done, len(rows), sections) for segment, done in pairs]
    samples = numbers.samples
    provenance = manifest.Provenance(
        f"maccel-aio {_version()}",
        {"precision": precision},
        {"samples": 0 if samples is None else len(samples)},
    )
    head = manifest.build(
        graph, placed, rows, numbers.preprocess, provenance, images=measured is not None,
        state=state,
    )  # fmt: skip
    data = container.pack([(Section.MANIFEST, head), *sections])
    arena = max((done.arena_bytes for done in lowered if done is not None), default=0)
    return Built(data, rows, arena)


def _reads(node: Node, makers: Mapping[str, int]) -> tuple[int, ...]:
    """Return the rows of the layers that make what a node reads, in their order."""
    names = [*node.inputs, *([] if node.residual is None else [node.residual.tensor])]
    return tuple(sorted({makers[name] for name in names if name in makers}))


def current(graph: Graph, segment: Segment) -> Segment:
    """Return the segment with the nodes that quantisation put between its own (copies)."""
    if not segment.on_npu:
        return segment
    known = {id(node) for node in segment.nodes}
    read = {name for node in segment.nodes for name in node.inputs}
    missing = read - set(segment.inputs)
    missing -= {out for node in segment.nodes for out in node.outputs}
    nodes = [n for n in graph.nodes if id(n) in known or n.output in missing]
    return Segment(segment.name, True, tuple(nodes), segment.inputs, segment.outputs)


def _lower(
    graph: Graph,
    segment: Segment,
    layers: Mapping[int, int],
    tables: Mapping[str, np.ndarray[Any, Any]],
    l2_bytes: int,
) -> Lowered | None:
    if not segment.on_npu:
        return None
    now = current(graph, segment)
    return lower_bundle(
        graph, now.nodes, now.inputs, now.outputs, layers=layers, tables=tables,
        l2_bytes=l2_bytes,
    )  # fmt: skip


def _place(
    graph: Graph,
    segment: Segment,
    lowered: Lowered | None,
    num_layers: int,
    sections: list[tuple[Section, bytes]],
) -> manifest.Placed:
    first = len(sections) + 1  # the manifest is section 0
    if lowered is None:
        constants = {n: t.const for n, t in graph.tensors.items() if t.const is not None}
        part = extract(
            graph.model,
            [graph.tensors[name] for name in segment.inputs],
            [graph.tensors[name] for name in segment.outputs],
            constants,
        )
        sections.append((Section.ONNX, part.SerializeToString(deterministic=True)))
        return manifest.Placed(segment, None, (first,))
    work = sum(macs(graph, node) for node in segment.nodes)
    program, constants_data = encode(lowered, num_layers, work)
    sections += [(Section.PROGRAM, program), (Section.CONSTS, constants_data)]
    return manifest.Placed(segment, lowered, (first, first + 1))


def pixel_table(graph: Graph, name: str, how: Preprocess) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return u8 [C][256]: the device code of every pixel value of every channel."""
    quant = graph.tensors[name].storage
    pixels = np.arange(256, dtype=np.float64)[None, :]
    mean = np.asarray(how.mean, np.float64)[:, None]
    std = np.asarray(how.std, np.float64)[:, None]
    codes = np.rint((pixels - mean) / std / quant.scale) + quant.zero
    table: np.ndarray[Any, np.dtype[np.uint8]] = np.clip(codes, 0, 255).astype(np.uint8)
    return table


def _version() -> str:
    try:
        return importlib.metadata.version("maccel-aio")
    except importlib.metadata.PackageNotFoundError:
        return "0"
