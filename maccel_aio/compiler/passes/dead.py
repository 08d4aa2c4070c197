"""Takes nodes without readers out of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Graph, Node


def drop_dead(graph: Graph) -> None:
    """Remove nodes whose results nobody reads."""
    wanted = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if any(out in wanted for out in node.outputs):
            kept.append(node)
            wanted.update(node.inputs)
    graph.replace_nodes(reversed(kept))
