"""Cuts a graph into segments that run one after the other: NPU bundles and CPU parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from maccel_aio.compiler.ir import CompileError
from maccel_aio.compiler.isa import MAX_PORTS
from maccel_aio.compiler.lower import VIEW_OPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from maccel_aio.compiler.ir import Graph, Node


_IDLE = VIEW_OPS | {"Cast"}
"""Operators that are no reason for a bundle."""


@dataclass(frozen=True)
class Segment:
    """Nodes that run together.

    Attributes:
        on_npu: a bundle of the NPU, else a part for onnxruntime.
        inputs: activations from outside, in order of first use.
        outputs: tensors that later segments or the caller want.
    """

    name: str
    on_npu: bool
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why a CPU segment is one: the reasons of its nodes."""
        if not self.nodes:
            return "constants"
        return "; ".join(dict.fromkeys(node.reason for node in self.nodes if node.reason))


def partition(graph: Graph) -> list[Segment]:
    """Return the segments in the order in which they run.

    Bundles that would only rename dimensions become CPU nodes first: a round trip for nothing.
    What comes after a value without static shape joins it, because such a value cannot pass from
    one segment to the next. So do bundles with too many inputs and outputs.
    """
    while True:
        groups = _schedule(graph)
        segments = _segments(graph, groups)
        if not (_drop_idle(groups) or _join_dynamic(graph, segments) or _drop_crowded(segments)):
            return segments + _constant(graph, segments)


def _constant(graph: Graph, segments: list[Segment]) -> list[Segment]:
    """Return a CPU segment without nodes for outputs that do not depend on any input."""
    made = {*graph.inputs, *(name for segment in segments for name in segment.outputs)}
    names = tuple(name for name in graph.outputs if name not in made)
    number = sum(not segment.on_npu for segment in segments)
    return [Segment(f"cpu{number}", False, (), (), names)] if names else []


def _drop_idle(groups: list[list[Node]]) -> bool:
    """Send bundles without work to the CPU, unless there is nothing else; return whether any."""
    idle = [g for g in groups if not g[0].reason and all(n.op in _IDLE for n in g)]
    if not idle or all(not g[0].reason for g in groups):
        return False
    for node in (node for group in idle for node in group):
        node.reason = f"operator {node.op}: only joins operators on the CPU"
    return True


def _join_dynamic(graph: Graph, segments: list[Segment]) -> bool:
    """Send bundles between a value of unknown shape and its readers to the CPU."""
    for k, segment in enumerate(segments):
        dynamic = {n for n in segment.outputs if graph.tensors[n].shape is None}
        last = max((j for j, s in enumerate(segments) if dynamic & set(s.inputs)), default=k)
        between = [s for s in segments[k + 1 : last] if s.on_npu]
        for node in (node for s in between for node in s.nodes):
            node.reason = f"operator {node.op}: between values without a static shape"
        if between:
            return True
    return False


def _drop_crowded(segments: list[Segment]) -> bool:
    """Send bundles with more inputs and outputs than a program can have to the CPU."""
    for segment in segments:
        ports = len(segment.inputs) + len(segment.outputs)
        if segment.on_npu and ports > MAX_PORTS:
            for node in segment.nodes:
                node.reason = (
                    f"operator {node.op}: its bundle has {ports} inputs and outputs, "
                    f"a program {MAX_PORTS} at most"
                )
            return True
    return False


def _schedule(graph: Graph) -> list[list[Node]]:
    """Return groups of nodes, each all on one side, as few as a greedy order gives."""
    waiting = list(graph.nodes)
    ready = set(graph.inputs) | {n for n, t in graph.tensors.items() if t.const is not None}
    groups: list[list[Node]] = []
    side = _first_side(graph, ready)
    idle = False
    while waiting:
        taken, waiting = _take(waiting, ready, side)
        if taken:
            groups.append(taken)
        elif idle:
            lost = next(name for name in waiting[0].inputs if name and name not in ready)
            raise CompileError(f"node {waiting[0].name!r} reads {lost!r}, which nothing computes")
        idle, side = not taken, not side
    return groups


def _first_side(graph: Graph, ready: set[str]) -> bool:
    """Return whether to start on the NPU: where the first node that can run belongs."""
    for node in graph.nodes:
        if all(name in ready for name in node.inputs if name):
            return not node.reason
    return True


def _take(waiting: list[Node], ready: set[str], npu: bool) -> tuple[list[Node], list[Node]]:
    taken: list[Node] = []
    rest: list[Node] = []
    for node in waiting:
        runnable = all(name in ready for name in node.inputs if name)
        if runnable and bool(node.reason) != npu:
            taken.append(node)
            ready.update(out for out in node.outputs if out)
        else:
            rest.append(node)
    return taken, rest


def _segments(graph: Graph, groups: list[list[Node]]) -> list[Segment]:
    segments: list[Segment] = []
    counts = {True: 0, False: 0}
    for index, group in enumerate(groups):
        npu = not group[0].reason
        made = {out for node in group for out in node.outputs if out}
        read = [name for node in group for name in graph.activations(node)]
        inputs = _ordered((name for name in read if name not in made), graph.inputs)
        later = {name for other in groups[index + 1 :] for n in other for name in n.inputs}
        wanted = later | set(graph.outputs)
        order = (out for node in group for out in node.outputs if out in wanted)
        outputs = _ordered(order, graph.outputs)
        name = f"{'npu' if npu else 'cpu'}{counts[npu]}"
        counts[npu] += 1
        segments.append(Segment(name, npu, tuple(group), inputs, outputs))
    return segments


def _ordered(names: Iterable[str], first: Sequence[str]) -> tuple[str, ...]:
    """Return names once each, those of the model in its order and in front.

    A model that is one bundle then has its tensors where callers have their arrays, which the
    device reads and writes in place.
    """
    found = tuple(dict.fromkeys(names))
    known = set(first)
    return (
        *(name for name in dict.fromkeys(first) if name in set(found)),
        *(name for name in found if name not in known),
    )
