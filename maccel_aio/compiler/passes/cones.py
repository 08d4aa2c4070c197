"""Cones of a graph: all the nodes that lie between one tensor and a later one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from maccel_aio.compiler.passes.dead import drop_dead

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from maccel_aio.compiler.ir import Graph, Node

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Cone:
    """Nodes, in program order, that compute one tensor from the tensor `source` and constants."""

    nodes: list[Node]
    source: str

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes of the model that these came from."""
        return tuple(name for node in self.nodes for name in node.source)


@dataclass(frozen=True)
class Growth:
    """What cones are made of.

    Attributes:
        roots: Operators that may end one.
        belongs: Whether a node may be part of a cone that ends in a tensor of the given shape.
        shapes: The shapes of tensors within such a cone; None where there is none.
        most: Nodes of the largest cone.
    """

    roots: Collection[str]
    belongs: Callable[[Graph, Node, Shape], bool]
    shapes: Callable[[Shape | None], Collection[Shape | None]]
    most: int


def rewrite_cones(
    graph: Graph, growth: Growth, rewrite: Callable[[Graph, Node, list[Cone]], None]
) -> None:
    """Hand every root and the cones that end in it to `rewrite`, the last root first.

    `rewrite` may make the root something else; nodes that nobody reads then are removed.
    """
    producers = graph.producers()
    order = {id(node): k for k, node in enumerate(graph.nodes)}
    for node in reversed(graph.nodes):
        if node.op in growth.roots and not node.reason:
            rewrite(graph, node, _ending_in(graph, node, growth, producers, order))
    drop_dead(graph)


def _ending_in(
    graph: Graph, root: Node, growth: Growth, producers: dict[str, Node], order: dict[int, int]
) -> list[Cone]:
    """Return the cones that end in `root`, smallest first."""
    shape = graph.tensors[root.output].shape
    allowed = growth.shapes(shape)
    found: list[Cone] = []
    members: list[Node] = []
    opened = {root.output}
    while allowed and len(members) < growth.most:
        makers = [producers[n] for n in opened if n in producers]
        makers = [m for m in makers if growth.belongs(graph, m, shape or ())]
        if not makers:
            break
        # The last one in program order: nobody reads what comes after it but members.
        last = max(makers, key=lambda m: order[id(m)])
        members.insert(0, last)
        opened.discard(last.output)
        opened.update(graph.activations(last))
        if any(graph.tensors[n].shape not in allowed for n in opened):
            break
        if len(opened) == 1:
            found.append(Cone(list(members), next(iter(opened))))
    return found
