"""Who writes and reads the tensors of a graph, while nodes are merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Graph, Node


class Links:
    """Producers and reader counts, kept while nodes are merged."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.producers = graph.producers()
        self.readers = {name: len(nodes) for name, nodes in graph.consumers().items()}
        self.gone: set[int] = set()

    def only_reader(self, name: str) -> Node | None:
        """Return the producer of `name` if the asking node is its only reader."""
        producer = self.producers.get(name)
        if producer is None or producer.reason or len(producer.outputs) != 1:
            return None
        private = self.readers.get(name, 0) == 1 and name not in self.graph.outputs
        return producer if private else None

    def merge(self, into: Node, node: Node) -> None:
        """Let `into` write what `node` wrote, at `node`'s place in the order."""
        into.outputs = [node.output]
        into.source = (*into.source, *node.source)
        nodes = self.graph.nodes
        first, second = index_of(nodes, into), index_of(nodes, node)
        nodes[second] = into
        del nodes[first]
        self.producers[node.output] = into


def index_of(nodes: list[Node], node: Node) -> int:
    """Return the place of a node in a list, by identity."""
    return next(k for k, other in enumerate(nodes) if other is node)
