"""The compiler's graph: tensors and nodes in ONNX order, with what quantisation adds to them.

The names of activations are the names of the simplified ONNX model, and so are their values: a
fused node writes the tensor that its last ONNX node wrote. Calibration may therefore read any
`Tensor` by name in `Graph.model`, and a CPU segment is cut out of `Graph.model` by tensor names.

Operators after the passes (see `passes`), with their attributes; all lengths are integers:

=================  =============================================================================
Conv               kernel, strides, dilations (h, w), pads (t, l, b, r), group; weights OIHW;
                   blocks: 1 of so many weights of a row is not zero (see passes.shuffle)
ConvTranspose      the same; weights [O, I/group, kh, kw] as for Conv, taps in ONNX order
Linear             x [.., k] times weights [O, k, 1, 1]; contraction over the last dimension
MaxPool            kernel, strides, dilations, pads
AveragePool        the same and include_pad; the global form has the kernel of the image
Add Sub Mul Div    two inputs that broadcast, either may be constant
Max Min Pow        the same
Activation         one input and `act`
MatMul             two activations
Concat             axis
Slice              starts, sizes, steps per dimension of the input; then a reshape to the output
Split              axis, offsets; several outputs
Pad                pads (before of every dimension, then after), value
Resize             mode "nearest" | "linear", axes (h, w), tables (see passes.resize)
Transpose          perm
Reshape            the output shape says all (also Flatten, Squeeze, Unsqueeze, Identity)
Expand             the output shape says all
DepthToSpace       blocksize, mode "DCR" | "CRD"
SpaceToDepth       blocksize
Softmax            x and maybe a mask that broadcasts: of x * scale + mask; axis, log (bool),
                   flat (bool: over all dimensions from axis on; then without mask and scale)
Attention          queries [.., m, d], keys [.., d, n], values [.., n, w], maybe a mask:
                   values by Softmax of scale * products + mask; codes (bool: products of codes)
Reduce             kind "sum" | "mean" | "max" | "min", axes, keepdims (bool)
Lookup             integers: rows of attrs["table"] (float32 [rows, width])
Cast               integers to float32
Recurrent          x, first h, first c ("": zero); kind, backward (mask), batch_first,
                   results (which of "yhc" the outputs are), weights, bias, hidden_weights,
                   hidden_bias; see passes.recurrent
LayerNorm          over the last dimension: epsilon, rms (bool), scale, bias (float32 [n] | None)
=================  =============================================================================

Nodes with a `Node.reason` keep their ONNX name and attributes and run in a CPU segment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from maccel_aio.errors import CompileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import onnx

    from maccel_aio.compiler.qdq import GivenScales

__all__ = [
    "FLOAT",
    "INTEGER",
    "Activation",
    "Array",
    "CompileError",
    "ConvWeights",
    "FloatStorage",
    "Graph",
    "Node",
    "NodeQuant",
    "QuantDtype",
    "Residual",
    "Tensor",
    "TensorQuant",
    "TokenQuant",
]

QuantDtype = Literal["u8", "s8", "s16", "s32", "f32"]
FloatStorage = Literal["f32", "bf16"]
"""How weights of a layer that computes in float are kept."""
Array = NDArray[Any]


@dataclass(frozen=True)
class TensorQuant:
    """How a tensor is stored on the device: ``real = (q - zero) * scale``.

    Attributes:
        dtype: storage; for ``"f32"`` the scale is 1 and the zero point 0, and for ``"s32"``, which
            integers of the model have.
        channel_scale: float32, one per channel (dimension 1 of an image, else the last), or None.
    """

    dtype: QuantDtype
    scale: float = 1.0
    zero: int = 0
    channel_scale: NDArray[np.float32] | None = None


FLOAT = TensorQuant("f32")
INTEGER = TensorQuant("s32")


@dataclass
class Tensor:
    """A value of the graph.

    Attributes:
        shape: ONNX order, every dimension known and positive, or None when it is not known.
        dtype: as in the ONNX model.
        const: the value of a constant, else None.
        quant: filled by quantisation for activations; None means `FLOAT`.
        pattern: the shape with negative numbers where a dimension is not known: -k for a multiple
            of k; None when not even the number of dimensions is known, or `shape` says all.
    """

    name: str
    shape: tuple[int, ...] | None
    dtype: np.dtype[Any]
    const: Array | None = None
    quant: TensorQuant | None = None
    pattern: tuple[int, ...] | None = None

    @property
    def dims(self) -> tuple[int, ...]:
        """The shape, when it is known.

        Raises:
            CompileError: it is not.
        """
        if self.shape is None:
            raise CompileError(f"tensor {self.name!r} has no static shape")
        return self.shape

    @property
    def outline(self) -> tuple[int, ...] | None:
        """The shape as far as it is known: see `pattern`."""
        return self.pattern if self.shape is None else self.shape

    @property
    def storage(self) -> TensorQuant:
        """The quantisation, float when none was assigned."""
        return self.quant if self.quant is not None else FLOAT

    @property
    def elements(self) -> int:
        """The number of elements."""
        return int(np.prod(self.dims, dtype=np.int64))


@dataclass(frozen=True)
class Activation:
    """A pointwise function; `kind` is a name of ``enum mx_act`` in lower case.

    Attributes:
        a: first parameter: lower bound of ``clamp``, slope of ``leaky``, alpha.
        b: second parameter: upper bound of ``clamp``, beta of ``hardsigmoid``.
        slope: float32 [channels] of ``prelu``.
    """

    kind: str
    a: float = 0.0
    b: float = 0.0
    slope: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Residual:
    """A tensor that is added inside the epilogue; it is also ``node.inputs[1]``."""

    tensor: str
    after_act: bool = False


@dataclass
class ConvWeights:
    """Float weights of Conv, ConvTranspose and Linear.

    Attributes:
        kernel: float32 [O, I/group, kh, kw].
        bias: float32 [O].
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass
class NodeQuant:
    """Integer weights of Conv, ConvTranspose and Linear; None on a node means float32 compute.

    Attributes:
        weights: int8 or int16 [O, kh, kw, I/group].
        bias: int32 [O], round(real bias / scale); the term of the input's zero point is NOT in
            it, because padding and sub-pixel forms need other sums: lowering adds it.
        scale: float64 [O], the real value of one accumulator unit (input scale * weight scale).
        qmin: smallest code that the output may take (clamps fused into the range), or None for
            the smallest of the output's dtype.
        qmax: largest code, or None.
    """

    weights: NDArray[np.int8] | NDArray[np.int16]
    bias: NDArray[np.int32]
    scale: NDArray[np.float64]
    qmin: int | None = None
    qmax: int | None = None


@dataclass
class TokenQuant:
    """Integer weights of a Linear whose rows are quantised one by one, when they are known.

    Attributes:
        weights: int8 [O, 1, 1, I].
        bias: float32 [O], real values.
        scale: float64 [O], of the weights.
        low: the input is never smaller, and codes count from here; None: codes have both signs.
        smooth: float32 [I], by which the columns of the input are multiplied before they are
            quantised (the weights are divided by it), or None.
    """

    weights: NDArray[np.int8]
    bias: NDArray[np.float32]
    scale: NDArray[np.float64]
    smooth: NDArray[np.float32] | None = None
    low: float | None = None


@dataclass
class Node:
    """One operation; `inputs` and `outputs` are tensor names, "" for an optional one left out.

    Attributes:
        attrs: Python values and arrays, see the module's table.
        act: function applied to the result (after the residual unless `Residual.after_act`).
        tokens: integer weights of a Linear with a scale per row of its input; then `quant` is None.
        source: names of the ONNX nodes that became this one, for reports.
        float_weights: how weights are kept where they are not integers.
        weight_step: float64 [O], of a layer in float whose weights are that times integers of 8
            bits, which are then kept; or None.
        reason: why it cannot run on the NPU; "" when it can.
    """

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)
    act: Activation | None = None
    residual: Residual | None = None
    weights: ConvWeights | None = None
    quant: NodeQuant | None = None
    tokens: TokenQuant | None = None
    source: tuple[str, ...] = ()
    float_weights: FloatStorage = "f32"
    weight_step: NDArray[np.float64] | None = None
    reason: str = ""

    @property
    def output(self) -> str:
        """The first output."""
        return self.outputs[0]


@dataclass
class Graph:
    """A model: nodes in topological order over named tensors.

    Attributes:
        model: the simplified float ONNX model with the same tensor names.
        source_sha256: hex digest of the model as it was given.
        symbolic_batch: inputs whose leading dimension was symbolic and is now 1.
        given_scales: what a quantised model prescribes; None for float models.
    """

    name: str
    nodes: list[Node]
    tensors: dict[str, Tensor]
    inputs: list[str]
    outputs: list[str]
    model: onnx.ModelProto
    source_sha256: str = ""
    symbolic_batch: frozenset[str] = frozenset()
    given_scales: GivenScales | None = None

    def tensor(self, name: str) -> Tensor:
        """Return the tensor called `name`.

        Raises:
            KeyError: there is none.
        """
        return self.tensors[name]

    def const(self, name: str) -> Array | None:
        """Return the value of a constant, or None for activations and left-out inputs."""
        found = self.tensors.get(name)
        return None if found is None else found.const

    def activations(self, node: Node) -> list[str]:
        """Return the names of a node's inputs that are computed at run time."""
        return [name for name in node.inputs if name and self.const(name) is None]

    def producers(self) -> dict[str, Node]:
        """Return the node that writes each tensor."""
        return {out: node for node in self.nodes for out in node.outputs if out}

    def consumers(self) -> dict[str, list[Node]]:
        """Return the nodes that read each tensor (a node twice if it reads it twice)."""
        found: dict[str, list[Node]] = {name: [] for name in self.tensors}
        for node in self.nodes:
            for name in node.inputs:
                if name:
                    found.setdefault(name, []).append(node)
        return found

    def replace_nodes(self, nodes: Iterable[Node]) -> None:
        """Set the nodes and forget tensors that nothing refers to any more."""
        self.nodes = list(nodes)
        used = set(self.inputs) | set(self.outputs)
        for node in self.nodes:
            used.update(node.inputs, node.outputs)
        self.tensors = {name: t for name, t in self.tensors.items() if name in used}

    def walk(self, *ops: str) -> Iterator[Node]:
        """Yield the nodes with one of the operators `ops`, or all without any."""
        for node in list(self.nodes):
            if not ops or node.op in ops:
                yield node
