"""The first and the last layers of a model: where 8 bits cost most.

What the first layers round is seen by all others, in large images whose noise is alike from pixel
to pixel in flat areas; what the last ones read has no layer behind that could average. Both have
little work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maccel_aio.compiler.ir import CompileError

if TYPE_CHECKING:
    from collections.abc import Collection

    from maccel_aio.compiler.ir import Graph


def check_edges(layers: int, share: float) -> None:
    """Refuse numbers that mean nothing.

    Raises:
        CompileError: the number of layers is negative, or the share is not between 0 and 1.
    """
    if layers < 0:
        raise CompileError(f"wide_first is a number of layers, not {layers}")
    if not 0.0 <= share <= 1.0:
        raise CompileError(f"wide_share is a share between 0 and 1, not {share}")


def first_tensors(graph: Graph, layers: int, weighted: Collection[str]) -> frozenset[str]:
    """Return what has no more than so many layers with weights on any way from an input.

    Args:
        graph: after the passes.
        layers: how many; 0 gives nothing.
        weighted: operators with weights.
    """
    depth: dict[str, int] = {}
    for node in graph.nodes:
        behind = max((depth.get(name, 0) for name in node.inputs), default=0)
        depth.update(dict.fromkeys(node.outputs, behind + (node.op in weighted)))
    return frozenset(name for name, found in depth.items() if 0 < found <= layers)


def last_tensors(graph: Graph, weighted: Collection[str]) -> frozenset[str]:
    """Return what the layers read behind which no layer with weights comes before an output.

    Args:
        graph: after the passes.
        weighted: operators with weights.
    """
    ends, found = set(graph.outputs), set()
    for node in reversed(graph.nodes):
        if ends.isdisjoint(node.outputs):
            continue
        if node.op in weighted:
            found.add(node.inputs[0])
        else:
            ends.update(node.inputs)
    return frozenset(found)
