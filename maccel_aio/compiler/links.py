"""Tensors whose channels may be scaled: layers write them, layers read them, and scaling commutes.

A link is a set of tensors that must be scaled alike because additions, pooling or resizing join
them, such as the stream of a residual network, or just one tensor between two layers. Dividing
their channels by any positive factors changes no output if the weights that write them are divided
and the weights that read them are multiplied by the same factors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.precision import WEIGHTED, OnNpu, PrecisionOptions, choose, is_activation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from maccel_aio.compiler.ir import Activation, Graph, Node

_PASSING = frozenset({"MaxPool", "AveragePool", "Resize"})
"""Operators that work on every channel for itself, and that scaling passes through."""

_IMAGE = 4


@dataclass(frozen=True)
class Link:
    """Tensors whose channels are scaled by the same factors.

    Attributes:
        tensors: in the order of the graph.
        makers: the layers that write one of them.
        readers: the layers that read one of them, with what they read.
        eight: readers that do so in 8 bits, by what they read: what there is to gain.
    """

    tensors: tuple[str, ...]
    makers: tuple[Node, ...]
    readers: tuple[tuple[str, Node], ...]
    eight: Mapping[str, tuple[Node, ...]]

    @property
    def bound(self) -> float:
        """Largest value that the makers' activations let through; the codes have to end there."""
        return min((_upper_bound(node.act) for node in self.makers), default=math.inf)


def find_links(graph: Graph, on_npu: OnNpu, precision: PrecisionOptions) -> list[Link]:
    """Return the sets of tensors that can be equalised, in the order of the graph."""
    sets = _Sets(graph, on_npu)
    read = _read_in_eight(graph, on_npu, precision)
    makers, readers = graph.producers(), graph.consumers()
    links = []
    for tensors in sets.free():
        eight = {name: read[name] for name in tensors if read.get(name)}
        writes = tuple({id(makers[n]): makers[n] for n in tensors}.values())
        reads = {(n, node.name): (n, node) for n in tensors for node in readers[n]}
        weighted = tuple((n, node) for n, node in reads.values() if _reads(node, n))
        link = Link(tensors, tuple(n for n in writes if n.op in WEIGHTED), weighted, eight)
        if eight and _is_sound(link):
            links.append(link)
    return links


def _is_sound(link: Link) -> bool:
    """Whether layers of one kind meet, and an activation's end can be that of the codes."""
    linear = {node.op == "Linear" for node in (*link.makers, *(n for _, n in link.readers))}
    alone = len(link.tensors) == 1
    return (linear == {False} or (alone and linear == {True})) and (alone or math.isinf(link.bound))


def is_homogeneous(act: Activation | None) -> bool:
    """Whether scaling commutes with it; an upper bound is taken over by the range of the codes."""
    if act is None:
        return True
    return (act.kind == "clamp" and act.a == 0.0) or act.kind in ("none", "leaky", "prelu")


def _upper_bound(act: Activation | None) -> float:
    bounded = act is not None and act.kind == "clamp" and act.b < np.finfo(np.float32).max
    return act.b if act is not None and bounded else math.inf


def _reads(node: Node, name: str) -> bool:
    return node.op in WEIGHTED and node.inputs[0] == name


def _read_in_eight(
    graph: Graph, on_npu: OnNpu, precision: PrecisionOptions
) -> dict[str, tuple[Node, ...]]:
    """Return, per tensor, the layers that read it in 8 bits."""
    readers = graph.consumers()
    found: dict[str, tuple[Node, ...]] = {}
    for group in choose(graph, on_npu, precision):
        for name in group.members if group.dtype == "u8" else group.eight:
            found[name] = tuple(n for n in readers[name] if _reads(n, name) and on_npu(n))
    return found


class _Sets:
    """Joins tensors that are scaled alike, and bars those that cannot be scaled."""

    def __init__(self, graph: Graph, on_npu: OnNpu) -> None:
        self.graph = graph
        self.parent = {name: name for name, t in graph.tensors.items() if is_activation(t)}
        self.barred = {*graph.inputs, *graph.outputs}
        for node in graph.nodes:
            if on_npu(node):
                self._visit(node)
            else:
                self._bar(*node.inputs, *node.outputs)

    def free(self) -> Iterator[tuple[str, ...]]:
        """Yield the sets without a barred tensor."""
        sets: dict[str, list[str]] = {}
        for name in (out for node in self.graph.nodes for out in node.outputs):
            if name in self.parent:
                sets.setdefault(self._root(name), []).append(name)
        barred = {self._root(name) for name in self.barred if name in self.parent}
        for root, names in sets.items():
            if root not in barred and self._one_kind(names):
                yield tuple(names)

    def _one_kind(self, names: Sequence[str]) -> bool:
        """Whether the channels of all tensors are the same dimension, and as many."""
        shapes = [self.graph.tensor(name).dims for name in names]
        if len(names) == 1:
            return len(shapes[0]) > 0
        return all(len(s) == _IMAGE and s[1] == shapes[0][1] for s in shapes)

    def _root(self, name: str) -> str:
        while self.parent[name] != name:
            self.parent[name] = self.parent[self.parent[name]]
            name = self.parent[name]
        return name

    def _bar(self, *names: str) -> None:
        self.barred.update(names)

    def _join(self, *names: str) -> None:
        known = [name for name in names if name in self.parent]
        for name in known[1:]:
            self.parent[self._root(name)] = self._root(known[0])
        if len(known) < len(names):
            self._bar(*known)

    def _visit(self, node: Node) -> None:
        ends = not math.isinf(_upper_bound(node.act)) and node.op not in WEIGHTED
        if ends or not is_homogeneous(node.act):
            self._bar(*node.outputs)
        if node.op in WEIGHTED and node.weights is not None:
            self._layer(node)
        elif (node.op in _PASSING or node.op == "Activation") and len(node.inputs) == 1:
            self._join(node.inputs[0], node.output)
        elif node.op in ("Add", "Sub") and self._alike(node):
            self._join(*node.inputs, node.output)
        elif node.op == "Mul" and len(gates := self._gates(node)) == 1:
            self._join(*(name for name in node.inputs if name not in gates), node.output)
            self._bar(*gates)
        else:
            self._bar(*node.inputs, *node.outputs)

    def _layer(self, node: Node) -> None:
        for name in node.inputs[1:]:
            if node.residual is None or name != node.residual.tensor:
                self._bar(name)
        if node.residual is not None:
            self._join(node.residual.tensor, node.output)

    def _alike(self, node: Node) -> bool:
        shapes = [self.graph.tensor(name).shape for name in (*node.inputs, node.output)]
        return len(self.graph.activations(node)) == 2 and len(set(shapes)) == 1

    def _gates(self, node: Node) -> list[str]:
        """Return the inputs of a product of two that are only factors for the other one."""
        shape = self.graph.tensor(node.output).shape
        if len(self.graph.activations(node)) != 2:
            return []
        return [name for name in node.inputs if self.graph.tensor(name).shape != shape]
