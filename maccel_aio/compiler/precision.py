"""Which tensors are stored in 8 bits, in 16 bits, or as float.

Tensors that one instruction copies or views (pooling by maximum, slices, concatenation, reshapes)
must have one format: they form a group, and precision is chosen for the group. A reader that needs
another format gets a copy, which the device writes beside the original.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.edges import check_edges, first_tensors, last_tensors
from maccel_aio.compiler.ir import Activation, CompileError, Graph, Node, QuantDtype, Tensor
from maccel_aio.compiler.reach import float_bound, front_ends, is_steep

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from maccel_aio.compiler.ir import FloatStorage

OnNpu = Callable[[Node], bool]

SAME_FORMAT = frozenset(
    {
        "MaxPool", "Concat", "Slice", "Split", "Pad", "Transpose", "Reshape", "Expand",
        "DepthToSpace", "SpaceToDepth",
    }
)  # fmt: skip
"""Operators whose activations all have one format."""

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Linear"})
"""Operators with constant weights: integer ones when their input is an integer."""

_FLOAT_READERS = frozenset({"Softmax", "LayerNorm", "MatMul", "Recurrent", "Attention"})
_FLOAT_MAKERS = frozenset({"Softmax", "Recurrent", "Lookup", "Cast", "Attention"})
_WIDTHS: tuple[QuantDtype, ...] = ("u8", "s8", "s16", "f32")
_SUMS = frozenset({"Add", "Sub", "Mul"})
_INTEGER_READERS = WEIGHTED | {"MaxPool", "AveragePool", "Resize", "DepthToSpace", "SpaceToDepth"}
_FRONT_SHARE = 0.2
"""Layers in front of steep functions are float when they have less of all multiply-accumulates."""
_IMAGE = 4


def macs(graph: Graph, node: Node) -> int:
    """Multiply-accumulates of one node; 0 for operators that have none."""
    if node.op == "MatMul":
        return graph.tensor(node.output).elements * graph.tensor(node.inputs[0]).dims[-1]
    if node.op == "Attention":
        return _attention_macs(graph, node)
    if node.op == "Recurrent":
        return _recurrent_macs(graph, node)
    if node.weights is None:
        return 0
    outputs, per_group, *taps = node.weights.kernel.shape
    if node.op == "ConvTranspose":
        per_input = outputs // int(node.attrs.get("group", 1)) * math.prod(taps)
        return int(graph.tensor(node.inputs[0]).elements * per_input)
    # Of a grouped convolution with permuted outputs only a block of each row counts.
    per_group //= int(node.attrs.get("blocks", 1))
    return int(graph.tensor(node.output).elements * per_group * math.prod(taps))


def _attention_macs(graph: Graph, node: Node) -> int:
    depth, keys = graph.tensor(node.inputs[1]).dims[-2:]
    *rows, width = graph.tensor(node.output).dims
    return int(math.prod(rows) * keys * (depth + width))


def _recurrent_macs(graph: Graph, node: Node) -> int:
    outer, inner, inputs = graph.tensor(node.inputs[0]).dims
    units = node.attrs["hidden_weights"].shape[2]
    return int(outer * inner * len(node.attrs["weights"]) * (inputs + units))


def store_float_weights(graph: Graph, how: FloatStorage | Mapping[str, FloatStorage]) -> None:
    """Set how the weights of layers that compute in float are kept.

    Args:
        graph: after the passes; changed in place.
        how: for all layers, or by the name of a layer; the others keep f32.

    Raises:
        CompileError: there is no such layer or no such storage.
    """
    wishes = {n.name: how for n in graph.nodes} if isinstance(how, str) else dict(how)
    unknown = sorted(set(wishes) - {node.name for node in graph.nodes})
    if unknown:
        raise CompileError(f"float_weights names {unknown}, which are no layers")
    strange = sorted(set(wishes.values()) - {"f32", "bf16"})
    if strange:
        raise CompileError(f"float_weights {strange}: it is 'f32' or 'bf16'")
    for node in graph.nodes:
        node.float_weights = wishes.get(node.name, "f32")


def is_activation(tensor: Tensor) -> bool:
    """Whether a tensor is a float value that is computed at run time, of known shape."""
    known = tensor.const is None and tensor.shape is not None
    return known and tensor.dtype.type is np.float32


def shares_format(node: Node) -> bool:
    """Whether all activations of a node have one format."""
    nearest = node.op == "Resize" and node.attrs.get("mode") == "nearest"
    return node.op in SAME_FORMAT or nearest


@dataclass
class Group:
    """Tensors with one format.

    Attributes:
        members: tensor names, in the order of the graph.
        dtype: the storage that was chosen.
        eight: members of a wider group that integer convolutions read: those get an 8-bit copy.
    """

    members: list[str]
    dtype: QuantDtype = "u8"
    eight: list[str] = field(default_factory=list)


def find_groups(graph: Graph, on_npu: OnNpu) -> list[Group]:
    """Return the groups of all float activations, in the order of their first members."""
    parent = {name: name for name, tensor in graph.tensors.items() if is_activation(tensor)}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for node in graph.nodes:
        if not (shares_format(node) and on_npu(node)):
            continue
        names = [n for n in [*graph.activations(node), *node.outputs] if n in parent]
        for name in names[1:]:
            parent[root(name)] = root(names[0])
    found: dict[str, Group] = {}
    for name in _in_order(graph, parent):
        found.setdefault(root(name), Group([])).members.append(name)
    return list(found.values())


def _in_order(graph: Graph, names: Iterable[str]) -> list[str]:
    wanted = set(names)
    order = [*graph.inputs, *(out for node in graph.nodes for out in node.outputs)]
    return [name for name in dict.fromkeys(order) if name in wanted]


@dataclass(frozen=True)
class PrecisionOptions:
    """What may leave 8 bits.

    Attributes:
        wide_sums: tensors that an addition or a product of two tensors reads are stored in 16
            bits; convolutions get copies.
        vector_share: pooled vectors stay float when the layers that they feed have less than this
            share of all multiply-accumulates.
        vector_weights: and less than this share of all weights.
        storage: ``"s16"`` or ``"f32"`` by the name of a tensor that would be stored in 8 bits, or
            of its 8-bit copy (see `copy_name`): what reads it computes with that.
        weight_bits: by the name of a layer with weights, 8 or 16; others have what their input asks
            for.
        keep: by the name of a tensor of 8 bits or of a copy, the share of its observed range that
            the codes span, 0..1; what lies beyond clips.
        per_token: products of sequences of vectors and constant weights get a scale for every
            vector, found when it is known, and their inputs stay float until then.
        wide_first: results of so many first layers are stored in 16 bits, see `edges`.
        wide_last: so is what the last layers read.
        wide_share: but only where the layers that read it have at most this share of all
            multiply-accumulates.

    Raises:
        CompileError: a number is out of range.
    """

    wide_sums: bool = True
    vector_share: float = 0.01
    vector_weights: float = 0.05
    storage: Mapping[str, QuantDtype] = field(default_factory=dict)
    weight_bits: Mapping[str, int] = field(default_factory=dict)
    keep: Mapping[str, float] = field(default_factory=dict)
    per_token: bool = True
    wide_first: int = 0
    wide_last: bool = False
    wide_share: float = 0.03

    def __post_init__(self) -> None:
        check_edges(self.wide_first, self.wide_share)


def is_token_layer(graph: Graph, node: Node) -> bool:
    """Whether a node multiplies every vector of a sequence with constant weights.

    Simplifiers write them as matrices, so more than one row is what tells.
    """
    return node.op == "Linear" and math.prod(graph.tensor(node.inputs[0]).dims[:-1]) > 1


def choose(graph: Graph, on_npu: OnNpu, options: PrecisionOptions | None = None) -> list[Group]:
    """Return the groups with their storage chosen."""
    chooser = _Chooser(graph, on_npu, options or PrecisionOptions())
    groups = find_groups(graph, on_npu)
    for group in groups:
        chooser.choose(group)
    return groups


class _Chooser:
    """Looks at makers and readers of a group; used by one thread."""

    def __init__(self, graph: Graph, on_npu: OnNpu, options: PrecisionOptions) -> None:
        self.graph = graph
        self.on_npu = on_npu
        self.options = options
        self.readers = graph.consumers()
        self.makers = graph.producers()
        self.outputs = set(graph.outputs)
        self.all_macs = max(1, sum(macs(graph, node) for node in graph.nodes))
        self.front = self._front()
        self.edges = first_tensors(graph, options.wide_first, WEIGHTED)
        if options.wide_last:
            self.edges |= last_tensors(graph, WEIGHTED)
        self.bound = float_bound(graph, self.readers, self._reads_float)
        self.all_weights = max(1, sum(weight_count(node) for node in graph.nodes))

    def _front(self) -> frozenset[str]:
        found = front_ends(self.graph, self.readers)
        work = sum(macs(self.graph, node) for node in self.graph.nodes if node.name in found)
        return found if work < _FRONT_SHARE * self.all_macs else frozenset()

    def choose(self, group: Group) -> None:
        """Set the storage of `group`, and who needs an 8-bit copy of it."""
        bound = all(name in self.bound for name in group.members) or self._sequence(group)
        if bound or any(map(self._needs_float, group.members)) or self._vector(group):
            group.dtype = "f32"
        elif (self.options.wide_sums and self._is_sum(group)) or self._edge(group.members):
            group.dtype = "s16"
        if group.dtype == "u8":
            group.dtype = self._wished(group.members) or "u8"
            return
        if group.dtype == "s16" and self._wished(group.members) == "f32":
            group.dtype = "f32"
        if self._vector(group):
            return
        group.eight = [
            name
            for name in group.members
            if self._feeds_convolution(name)
            and not (self._wished([copy_name(name)]) or self._edge([name]))
        ]

    def _edge(self, names: Iterable[str]) -> bool:
        """Whether these are at an edge of the model, and little work reads them."""
        if self.edges.isdisjoint(names):
            return False
        fed = [node for name in names for node in self._convolutions(name)]
        work = sum(macs(self.graph, node) for node in fed)
        return work <= self.options.wide_share * self.all_macs

    def _wished(self, names: Iterable[str]) -> QuantDtype | None:
        """Return the widest storage that the caller chose for one of the tensors."""
        wishes = {self.options.storage[name] for name in names if name in self.options.storage}
        return max(wishes, key=_WIDTHS.index, default=None)

    def _needs_float(self, name: str) -> bool:
        if name in self.outputs or self.graph.tensor(name).elements <= 1:
            return True
        maker = self.makers.get(name)
        if maker is not None and (not self.on_npu(maker) or maker.op in _FLOAT_MAKERS):
            return True
        return any(self._reads_float(node, name) for node in self.readers[name])

    def _sequence(self, group: Group) -> bool:
        """Whether these are sequences or vectors that no integer operator reads.

        Their sums and products cost the same in float, and one rounding before the next layer is
        better than one at each.
        """
        short = all(len(self.graph.tensor(name).dims) < _IMAGE for name in group.members)
        readers = (node for name in group.members for node in self.readers[name])
        return short and not any(node.op in _INTEGER_READERS for node in readers)

    def _reads_float(self, node: Node, name: str) -> bool:
        if node.op in _FLOAT_READERS or not self.on_npu(node):
            return True
        if is_steep(node) or (node.name in self.front and node.inputs[0] == name):
            return True
        per_token = self.options.per_token and node.inputs[0] == name
        return per_token and is_token_layer(self.graph, node)

    def _vector(self, group: Group) -> bool:
        """Whether these are pooled vectors that feed little work."""
        if not any(self._pooled(name) for name in group.members):
            return False
        fed = [node for name in group.members for node in self._convolutions(name)]
        work = sum(macs(self.graph, node) for node in fed) / self.all_macs
        weights = sum(weight_count(node) for node in fed) / self.all_weights
        return work < self.options.vector_share and weights < self.options.vector_weights

    def _pooled(self, name: str) -> bool:
        shape = self.graph.tensor(name).dims
        return len(shape) == 4 and shape[2] == shape[3] == 1

    def _convolutions(self, name: str) -> list[Node]:
        readers = self.readers[name]
        found = [n for n in readers if n.op in WEIGHTED and n.inputs[0] == name and self.on_npu(n)]
        return [n for n in found if not self._reads_float(n, name)]

    def _feeds_convolution(self, name: str) -> bool:
        return bool(self._convolutions(name))

    def _is_sum(self, group: Group) -> bool:
        """Whether a chain of additions and products runs through the group."""
        return any(self._summand(name) for name in group.members)

    def _summand(self, name: str) -> bool:
        if len(self.graph.tensor(name).dims) < 2 or self._pooled(name):
            return False
        maker = self.makers.get(name)
        if maker is not None and maker.op == "Pow":
            return False  # a table of 8 bits; wider, every power would be computed
        for node in self.readers[name]:
            if node.residual is not None and node.residual.tensor == name:
                return True
            if node.op in _SUMS and len(self.graph.activations(node)) == 2:
                return True
        return False


def weight_count(node: Node) -> int:
    """Number of constant weights of a node."""
    return 0 if node.weights is None else int(node.weights.kernel.size)


def copy_name(name: str) -> str:
    """Return the name of the 8-bit copy of a tensor."""
    return f"{name}:u8"


def insert_copies(graph: Graph, groups: Iterable[Group], on_npu: OnNpu) -> list[Group]:
    """Give convolutions that read a wider tensor an 8-bit copy of it; return the copies' groups.

    A copy is an `Activation` node of kind ``none`` right behind the maker of the original.
    """
    wanted = {name for group in groups for name in group.eight}
    if not wanted:
        return []
    nodes: list[Node] = [_copy(graph, name) for name in graph.inputs if name in wanted]
    for node in graph.nodes:
        if node.op in WEIGHTED and node.inputs[0] in wanted and on_npu(node):
            node.inputs[0] = copy_name(node.inputs[0])
        nodes.append(node)
        nodes.extend(_copy(graph, name) for name in node.outputs if name in wanted)
    graph.nodes = nodes
    return [Group([copy_name(name)]) for name in _in_order(graph, wanted)]


def _copy(graph: Graph, name: str) -> Node:
    source = graph.tensor(name)
    graph.tensors[copy_name(name)] = Tensor(copy_name(name), source.shape, source.dtype)
    made = [copy_name(name)]
    return Node("Activation", copy_name(name), [name], made, act=Activation("none"))
