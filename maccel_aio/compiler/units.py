"""What the search may change: tensors with the layers that read them, and the rungs of each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from maccel_aio.compiler.precision import WEIGHTED, choose, copy_name, macs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maccel_aio.compiler.ir import Graph, Node, QuantDtype
    from maccel_aio.compiler.precision import Group, OnNpu, PrecisionOptions


@dataclass(frozen=True, order=True)
class Rung:
    """One way to store a unit and the weights that multiply it.

    Attributes:
        storage: of the unit.
        weight_bits: of the layers that read it.
        keep: share of the observed range that 8 bits span; values beyond it clip.
    """

    storage: QuantDtype = "u8"
    weight_bits: int = 8
    keep: float = 1.0

    @property
    def wide(self) -> bool:
        """Whether the unit left 8 bits."""
        return self.storage != "u8"


FINE = Rung("s16", 16)
FLOAT = Rung("f32", 32)


@dataclass(frozen=True)
class Unit:
    """What changes its format as one: tensors of one format, or the 8-bit copy of a wider tensor.

    Attributes:
        name: in `PrecisionOptions.storage`.
        work: multiply-accumulates of the layers that read it, as a share of all.
        size: its elements, as a share of those of all units.
        layers: names of the layers with weights that read it.
        start: the rung that it has when nothing is wished.
    """

    name: str
    work: float
    size: float
    layers: tuple[str, ...] = ()
    start: Rung = Rung()

    def price(self, rung: Rung) -> float:
        """What a rung costs beside 8 bits, without measuring: its share of the work.

        Memory counts a tenth, and being different a little. Wide weights on 8-bit inputs take
        the slower kernels too, but half the traffic; float takes half as much again.
        """
        if rung.storage == "f32":
            return 1.5 * self.work + 0.2 * self.size + 0.003
        if rung.storage == "s16":
            return self.work + 0.1 * self.size + 0.002
        return 0.5 * self.work + 0.001 if rung.weight_bits > 8 else 0.0

    def below(self, rung: Rung, keep: float) -> Rung | None:
        """Return the next cheaper rung, None below the first."""
        if rung.storage == "f32":
            return FINE
        if rung == self.start or self.start.wide:
            return None
        if rung.storage == "s16" and self.layers:
            return Rung("u8", 16, keep)
        return Rung(keep=keep) if rung != Rung(keep=keep) else None


Choice = dict[Unit, Rung]
"""The rungs of the units that are not where they start."""


def work_outside(choice: Mapping[Unit, Rung]) -> float:
    """Return the share of the multiply-accumulates that reads more than 8 bits by a choice."""
    return math.fsum(unit.work for unit, rung in choice.items() if rung.wide)


def wished(options: PrecisionOptions, choice: Mapping[Unit, Rung]) -> PrecisionOptions:
    """Return the options with the wishes of a choice in them."""
    storage: dict[str, QuantDtype] = {u.name: r.storage for u, r in choice.items() if r.wide}
    eight = [(unit, rung) for unit, rung in choice.items() if not rung.wide]
    bits = {layer: 16 for u, r in eight if r.weight_bits > 8 for layer in u.layers}
    keep = {unit.name: rung.keep for unit, rung in eight if rung.keep != 1.0}
    return replace(
        options,
        storage={**options.storage, **storage},
        weight_bits={**options.weight_bits, **bits},
        keep={**options.keep, **keep},
    )


def find_units(graph: Graph, on_npu: OnNpu, options: PrecisionOptions) -> list[Unit]:
    """Return what could leave 8 bits, in the order of the graph."""
    found: list[tuple[str, Sequence[str]]] = []
    for group in choose(graph, on_npu, options):
        if group.dtype == "u8":
            found.append((group.members[0], group.members))
        found += [(copy_name(name), [name]) for name in group.eight]
    return _made(graph, on_npu, found, Rung())


def find_sums(graph: Graph, on_npu: OnNpu, options: PrecisionOptions) -> list[Unit]:
    """Return what has 16 bits without being asked, and could be float: residual streams."""
    groups = choose(graph, on_npu, options)
    found = [(g.members[0], _direct(g)) for g in groups if g.dtype == "s16"]
    return _made(graph, on_npu, found, FINE)


def _direct(group: Group) -> list[str]:
    """Return the members that no layer reads a copy of."""
    return [name for name in group.members if name not in group.eight]


def _made(
    graph: Graph, on_npu: OnNpu, found: Sequence[tuple[str, Sequence[str]]], start: Rung
) -> list[Unit]:
    readers = graph.consumers()
    every = max(1, sum(macs(graph, node) for node in graph.nodes))
    sizes = [sum(graph.tensor(member).elements for member in members) for _, members in found]
    elements = max(1, sum(sizes))
    units = []
    for (name, members), size in zip(found, sizes, strict=True):
        fed = {
            id(node): node
            for member in members
            for node in readers[member]
            if _weighs(node, member) and on_npu(node)
        }
        work = sum(macs(graph, node) for node in fed.values()) / every
        layers = tuple(node.name for node in fed.values())
        units.append(Unit(name, work, size / elements, layers, start))
    return units


def _weighs(node: Node, name: str) -> bool:
    return node.op in WEIGHTED and node.inputs[0] == name
