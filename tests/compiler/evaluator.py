"""A quantised graph in numpy, by the device's number rules: exact sums, one rounding per store."""

from typing import TYPE_CHECKING, Any

import numpy as np

from maccel_aio.compiler.ir import Activation, Graph, Node, TensorQuant

if TYPE_CHECKING:
    from collections.abc import Callable

_LIMITS = {"u8": (0, 255), "s8": (-128, 127), "s16": (-32768, 32767)}
Array = np.ndarray[Any, Any]


def put(value: Array, quant: TensorQuant, qmin: int | None, qmax: int | None) -> Array:
    """Store real values; integers are rounded half to even and clamped."""
    if quant.dtype == "f32":
        return value.astype(np.float32)
    low, high = _LIMITS[quant.dtype]
    codes = np.rint(value / quant.scale) + quant.zero
    return np.asarray(np.clip(codes, low if qmin is None else qmin, high if qmax is None else qmax))


def real(codes: Array, quant: TensorQuant) -> Array:
    return codes if quant.dtype == "f32" else (codes - quant.zero) * np.float64(quant.scale)


def act(value: Array, how: Activation | None) -> Array:
    if how is None or how.kind == "none":
        return value
    table: dict[str, Callable[[Array], Array]] = {
        "clamp": lambda v: np.clip(v, how.a, how.b),
        "leaky": lambda v: np.where(v < 0, v * how.a, v),
        "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
        "silu": lambda v: v / (1 + np.exp(-v)),
        "hardswish": lambda v: v * np.clip(v * how.a + how.b, 0, 1),
        "tanh": np.tanh,
    }
    return np.asarray(table[how.kind](value))


def convolve(x: Array, w: Array, node: Node) -> Array:
    """Exact convolution of [1, c, h, w] with [o, kh, kw, i] in float64."""
    group, (sh, sw) = node.attrs["group"], node.attrs["strides"]
    top, left, bottom, right = node.attrs["pads"]
    dh, dw = node.attrs["dilations"]
    outputs, kh, kw, per_group = w.shape
    x = np.pad(x[0].astype(np.float64), ((0, 0), (top, bottom), (left, right)))
    oh = (x.shape[1] - (kh - 1) * dh - 1) // sh + 1
    ow = (x.shape[2] - (kw - 1) * dw - 1) // sw + 1
    total = np.zeros((outputs, oh, ow))
    grouped = total.reshape(group, outputs // group, oh * ow)
    for row in range(kh):
        for col in range(kw):
            part = x[:, row * dh :, col * dw :][
                :, : (oh - 1) * sh + 1 : sh, : (ow - 1) * sw + 1 : sw
            ]
            part = part.reshape(group, per_group, oh * ow)
            tap = w[:, row, col].reshape(group, outputs // group, per_group).astype(np.float64)
            grouped += tap * part if per_group == outputs // group == 1 else tap @ part
    return total[None]


def deconvolve(x: Array, w: Array, node: Node) -> Array:
    """Exact transposed convolution, by scattering."""
    group, (sh, sw) = node.attrs["group"], node.attrs["strides"]
    top, left, bottom, right = node.attrs["pads"]
    outputs, kh, kw, per_group = w.shape
    height, width = x.shape[2:]
    extra = node.attrs.get("output_padding", (0, 0))
    total = np.zeros((outputs, (height - 1) * sh + kh + extra[0], (width - 1) * sw + kw + extra[1]))
    flat = x[0].reshape(group, per_group, -1).astype(np.float64)
    for row in range(kh):
        for col in range(kw):
            tap = w[:, row, col].reshape(group, outputs // group, per_group)
            part = (tap @ flat).reshape(outputs, height, width)
            total[
                :, row : row + (height - 1) * sh + 1 : sh, col : col + (width - 1) * sw + 1 : sw
            ] += part
    return total[None, :, top : total.shape[1] - bottom, left : total.shape[2] - right]


class Evaluator:
    """Runs one graph; `values` holds real values of every tensor after a run."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.codes: dict[str, Array] = {}

    def quant(self, name: str) -> TensorQuant:
        return self.graph.tensor(name).storage

    def value(self, name: str) -> Array:
        const = self.graph.const(name)
        if const is not None:
            return np.asarray(const)
        return real(self.codes[name], self.quant(name))

    def run(self, feed: dict[str, Array]) -> dict[str, Array]:
        self.codes = {n: put(feed[n], self.quant(n), None, None) for n in self.graph.inputs}
        for node in self.graph.nodes:
            self.step(node)
        return {name: self.value(name) for name in self.codes}

    def step(self, node: Node) -> None:
        value = getattr(self, f"op_{node.op.lower()}")(node)
        late = node.residual is not None and node.residual.after_act
        residual = 0.0 if node.residual is None else self.value(node.residual.tensor)
        value = act(value, node.act) + residual if late else act(value + residual, node.act)
        limits = (node.quant.qmin, node.quant.qmax) if node.quant else (None, None)
        self.codes[node.output] = put(value, self.quant(node.output), *limits)

    def weighted(self, node: Node, function: Any) -> Array:
        x = self.graph.tensor(node.inputs[0]).storage
        if node.quant is None:
            assert node.weights is not None
            kernel = node.weights.kernel.transpose(0, 2, 3, 1)
            total = function(self.value(node.inputs[0]), kernel)
            return np.asarray(total + self._channels(node, node.weights.bias))
        total = function(self.codes[node.inputs[0]] - x.zero, node.quant.weights)
        bound = np.abs(total + self._channels(node, node.quant.bias)).max()
        assert bound < 2**31
        total = total + self._channels(node, node.quant.bias)
        return np.asarray(total * self._channels(node, node.quant.scale))

    def _channels(self, node: Node, values: Array) -> Array:
        return values if node.op == "Linear" else values[:, None, None]

    def op_conv(self, node: Node) -> Array:
        return self.weighted(node, lambda x, w: convolve(x, w, node))

    def op_convtranspose(self, node: Node) -> Array:
        return self.weighted(node, lambda x, w: deconvolve(x, w, node))

    def op_linear(self, node: Node) -> Array:
        return self.weighted(node, lambda x, w: x @ w[:, 0, 0].T.astype(np.float64))

    def op_add(self, node: Node) -> Array:
        return self.value(node.inputs[0]) + self.value(node.inputs[1])

    def op_mul(self, node: Node) -> Array:
        return self.value(node.inputs[0]) * self.value(node.inputs[1])

    def op_activation(self, node: Node) -> Array:
        return self.value(node.inputs[0])

    def op_averagepool(self, node: Node) -> Array:
        x = self.value(node.inputs[0])
        assert tuple(node.attrs["kernel"]) == x.shape[2:]
        return np.asarray(x.mean(axis=(2, 3), keepdims=True))

    def op_reshape(self, node: Node) -> Array:
        return self.value(node.inputs[0]).reshape(self.graph.tensor(node.output).dims)
