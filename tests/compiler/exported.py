"""Small transformers, written as exporters write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from tests.compiler.onnx_models import Model

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

ROWS, WIDTH, HEADS, INNER, WORDS = 10, 24, 2, 40, 50
DEPTH = WIDTH // HEADS
Tensor = str


class Exporter:
    """Writes one network into a model. Values are names of tensors.

    Args:
        m: gets the nodes.
    """

    def __init__(self, m: Model) -> None:
        self.m = m

    def ints(self, *values: int) -> Tensor:
        return self.m.const(list(values), np.int64)

    def linear(self, x: Tensor, before: int, after: int, *, bias: bool = True) -> Tensor:
        m = self.m
        y: Tensor = m.add("MatMul", x, m.random(before, after, scale=before**-0.5))
        return str(m.add("Add", m.random(after, scale=0.1), y)) if bias else y

    def gemm(self, x: Tensor, before: int, after: int) -> Tensor:
        """Conv1D of GPT-2: rows as a matrix, Gemm, and back."""
        m = self.m
        flat = m.add("Reshape", x, self.ints(-1, before))
        weights = m.random(before, after, scale=before**-0.5)
        y = m.add("Gemm", flat, weights, m.random(after, scale=0.1))
        return str(m.add("Reshape", y, self.ints(1, ROWS, after)))

    def torch_norm(self, x: Tensor) -> Tensor:
        m = self.m
        d = m.add("Sub", x, m.add("ReduceMean", x, axes=[-1]))
        variance = m.add("ReduceMean", m.add("Pow", d, m.const(2.0)), axes=[-1])
        root = m.add("Sqrt", m.add("Add", variance, m.const(1e-12)))
        y = m.add("Mul", m.add("Div", d, root), m.random(WIDTH))
        return str(m.add("Add", y, m.random(WIDTH)))

    def tensorflow_norm(self, x: Tensor) -> Tensor:
        m = self.m
        mean = m.add("ReduceMean", x, axes=[2])
        d = m.add("Sub", x, mean)
        variance = m.add("ReduceMean", m.add("Mul", d, d), axes=[2])
        root = m.add("Reciprocal", m.add("Sqrt", m.add("Add", variance, m.const(1e-6))))
        factor = m.add("Mul", root, m.random(WIDTH))
        shift = m.add("Sub", m.random(WIDTH), m.add("Mul", mean, factor))
        return str(m.add("Add", m.add("Mul", x, factor), shift))

    def rms_norm(self, x: Tensor) -> Tensor:
        m = self.m
        square = m.add("ReduceMean", m.add("Pow", x, m.const(2.0)), axes=[-1])
        root = m.add("Sqrt", m.add("Add", square, m.const(1e-6)))
        unit = m.add("Mul", x, m.add("Div", m.const(1.0), root))
        return str(m.add("Mul", m.random(WIDTH), unit))

    def gelu_erf(self, x: Tensor) -> Tensor:
        m = self.m
        inner = m.add("Erf", m.add("Div", x, m.const(2.0**0.5)))
        y = m.add("Mul", x, m.add("Add", inner, m.const(1.0)))
        return str(m.add("Mul", y, m.const(0.5)))

    def gelu_tanh(self, x: Tensor) -> Tensor:
        m = self.m
        cube = m.add("Mul", m.add("Pow", x, m.const(3.0)), m.const(0.044715))
        inner = m.add("Mul", m.add("Add", x, cube), m.const((2.0 / np.pi) ** 0.5))
        y = m.add("Add", m.add("Tanh", inner), m.const(1.0))
        return str(m.add("Mul", m.add("Mul", x, m.const(0.5)), y))

    def silu(self, x: Tensor) -> Tensor:
        return str(self.m.add("Mul", x, self.m.add("Sigmoid", x)))

    def heads(self, x: Tensor, perm: list[int], heads: int = HEADS) -> Tensor:
        """Return [1, rows, heads * depth] as `perm` of [1, rows, heads, depth]."""
        split = self.m.add("Reshape", x, self.ints(1, ROWS, heads, DEPTH))
        return str(self.m.add("Transpose", split, perm=perm))

    def joined(self, x: Tensor) -> Tensor:
        turned = self.m.add("Transpose", x, perm=[0, 2, 1, 3])
        return str(self.m.add("Reshape", turned, self.ints(1, ROWS, WIDTH)))

    def embedded(self) -> Tensor:
        m = self.m
        words = m.add("Gather", m.random(WORDS, WIDTH), "ids")
        places = m.add("Gather", m.random(64, WIDTH), self.ints(*range(ROWS)))
        return str(m.add("Add", words, places))


def _tokens(seed: int, *, mask: bool = True) -> Model:
    inputs = {"ids": (1, ROWS), **({"mask": (1, ROWS)} if mask else {})}
    types = dict.fromkeys(inputs, TensorProto.INT64)
    return Model(inputs, 14, seed, types=types)  # type: ignore[arg-type]  # names to shapes


def bert_torch() -> onnx.ModelProto:
    """PyTorch's own exporter: spelled-out norms, GELU by Erf, scores divided by a root."""
    m = _tokens(1)
    e = Exporter(m)
    wide = m.add("Unsqueeze", m.add("Unsqueeze", "mask", e.ints(1)), e.ints(2))
    inverted = m.add("Sub", m.const(1.0), m.add("Cast", wide, to=TensorProto.FLOAT))
    mask = m.add("Mul", inverted, m.const(-10000.0))
    x = e.torch_norm(e.embedded())
    for _ in range(2):
        q = e.heads(e.linear(x, WIDTH, WIDTH), [0, 2, 1, 3])
        k = e.heads(e.linear(x, WIDTH, WIDTH), [0, 2, 1, 3])
        v = e.heads(e.linear(x, WIDTH, WIDTH), [0, 2, 1, 3])
        scores = m.add("MatMul", q, m.add("Transpose", k, perm=[0, 1, 3, 2]))
        scores = m.add("Add", m.add("Div", scores, m.const(DEPTH**0.5)), mask)
        mixed = e.joined(m.add("MatMul", m.add("Softmax", scores, axis=-1), v))
        x = e.torch_norm(m.add("Add", e.linear(mixed, WIDTH, WIDTH), x))
        inner = e.gelu_erf(e.linear(x, WIDTH, INNER))
        x = e.torch_norm(m.add("Add", e.linear(inner, INNER, WIDTH), x))
    return m.build(x)


def bert_tensorflow() -> onnx.ModelProto:
    """A converter from TensorFlow: norms folded to a factor and a shift, GELU by Tanh."""
    m = _tokens(2)
    e = Exporter(m)
    wide = m.add("Reshape", m.add("Cast", "mask", to=TensorProto.FLOAT), e.ints(1, 1, 1, ROWS))
    mask = m.add("Mul", m.add("Sub", m.const(1.0), wide), m.const(-10000.0))
    x = e.tensorflow_norm(e.embedded())
    q = m.add("Mul", e.heads(e.linear(x, WIDTH, WIDTH), [0, 2, 1, 3]), m.const(DEPTH**-0.5))
    k = e.heads(e.linear(x, WIDTH, WIDTH), [0, 2, 3, 1])
    v = e.heads(e.linear(x, WIDTH, WIDTH), [0, 2, 1, 3])
    scores = m.add("Add", m.add("MatMul", q, k), mask)
    mixed = e.joined(m.add("MatMul", m.add("Softmax", scores, axis=-1), v))
    x = e.tensorflow_norm(m.add("Add", e.linear(mixed, WIDTH, WIDTH), x))
    inner = e.gelu_tanh(e.linear(x, WIDTH, INNER))
    x = e.tensorflow_norm(m.add("Add", e.linear(inner, INNER, WIDTH), x))
    return m.build(x)


def vit_torch() -> onnx.ModelProto:
    """timm's ViT: patches by a convolution, a class token, packed queries, keys and values."""
    m = Model({"x": (1, 3, 12, 12)}, 14, 3)
    e = Exporter(m)
    patches = m.conv("x", (WIDTH, 3, 4, 4), strides=[4, 4])
    rows = m.add("Transpose", m.add("Reshape", patches, e.ints(1, WIDTH, 9)), perm=[0, 2, 1])
    x = m.add("Concat", m.random(1, 1, WIDTH), rows, axis=1)
    x = m.add("Add", x, m.random(1, ROWS, WIDTH))
    for _ in range(2):
        packed = e.linear(e.torch_norm(x), WIDTH, 3 * WIDTH)
        split = m.add("Reshape", packed, e.ints(1, ROWS, 3, HEADS, DEPTH))
        split = m.add("Transpose", split, perm=[2, 0, 3, 1, 4])
        q, k, v = (m.add("Gather", split, m.const(n, np.int64), axis=0) for n in range(3))
        root = m.const(DEPTH**-0.25)
        keys = m.add("Mul", m.add("Transpose", k, perm=[0, 1, 3, 2]), root)
        scores = m.add("MatMul", m.add("Mul", q, root), keys)
        mixed = e.joined(m.add("MatMul", m.add("Softmax", scores, axis=-1), v))
        x = m.add("Add", x, e.linear(mixed, WIDTH, WIDTH))
        inner = e.gelu_erf(e.linear(e.torch_norm(x), WIDTH, INNER))
        x = m.add("Add", x, e.linear(inner, INNER, WIDTH))
    x = e.torch_norm(x)
    first = m.add("Gather", x, m.const(0, np.int64), axis=1)
    return m.build(m.add("Gemm", first, m.random(WIDTH, 7), m.random(7)))


def gpt2_torch() -> onnx.ModelProto:
    """GPT-2: Gemm on flattened rows, a Split, a causal Where of constants, GELU by Tanh."""
    m = _tokens(4, mask=False)
    e = Exporter(m)
    seen = m.const(np.tri(ROWS, dtype=bool).reshape(1, 1, ROWS, ROWS))
    flat = m.add("Reshape", "ids", e.ints(-1, ROWS))
    words = m.add("Gather", m.random(WORDS, WIDTH), flat)
    x = m.add("Add", words, m.random(1, ROWS, WIDTH))
    packed = e.gemm(e.torch_norm(x), WIDTH, 3 * WIDTH)
    sizes = e.ints(WIDTH, WIDTH, WIDTH)
    parts = m.add("Split", packed, sizes, outputs=3, axis=2)
    q, k, v = (
        e.heads(p, perm)
        for p, perm in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
    )
    scores = m.add("Div", m.add("MatMul", q, k), m.const(DEPTH**0.5))
    scores = m.add("Where", seen, scores, m.const(np.float32(np.finfo(np.float32).min)))
    mixed = e.joined(m.add("MatMul", m.add("Softmax", scores, axis=-1), v))
    x = m.add("Add", e.gemm(mixed, WIDTH, WIDTH), x)
    inner = e.gelu_tanh(e.gemm(e.torch_norm(x), WIDTH, INNER))
    x = m.add("Add", e.gemm(inner, INNER, WIDTH), x)
    return m.build(e.torch_norm(x))


def llama_torch() -> onnx.ModelProto:
    """Llama: RMS norms, angles of constants, one head of keys for all queries, a SiLU gate."""
    m = _tokens(5, mask=False)
    e = Exporter(m)
    angles = np.arange(ROWS)[:, None] * 10000.0 ** -(np.arange(DEPTH // 2) / (DEPTH // 2))
    angles = np.concatenate([angles, angles], 1)[None, None]
    causal = np.where(np.tri(ROWS) > 0, 0.0, np.finfo(np.float32).min).astype(np.float32)

    def turned(x: Tensor) -> Tensor:
        low = m.add("Slice", x, e.ints(0), e.ints(DEPTH // 2), e.ints(3), e.ints(1))
        high = m.add("Slice", x, e.ints(DEPTH // 2), e.ints(2**63 - 1), e.ints(3), e.ints(1))
        half = m.add("Concat", m.add("Neg", high), low, axis=-1)
        own = m.add("Mul", x, m.const(np.cos(angles)))
        return str(m.add("Add", own, m.add("Mul", half, m.const(np.sin(angles)))))

    def repeated(x: Tensor) -> Tensor:
        wide = m.add("Unsqueeze", x, e.ints(2))
        wide = m.add("Expand", wide, e.ints(1, 1, HEADS, ROWS, DEPTH))
        return str(m.add("Reshape", wide, e.ints(1, HEADS, ROWS, DEPTH)))

    x = e.embedded()
    y = e.rms_norm(x)
    q = turned(e.heads(e.linear(y, WIDTH, WIDTH, bias=False), [0, 2, 1, 3]))
    k = turned(e.heads(e.linear(y, WIDTH, DEPTH, bias=False), [0, 2, 1, 3], 1))
    v = e.heads(e.linear(y, WIDTH, DEPTH, bias=False), [0, 2, 1, 3], 1)
    keys = m.add("Transpose", repeated(k), perm=[0, 1, 3, 2])
    scores = m.add("Mul", m.add("MatMul", q, keys), m.const(DEPTH**-0.5))
    scores = m.add("Add", scores, m.const(causal[None, None]))
    mixed = e.joined(m.add("MatMul", m.add("Softmax", scores, axis=-1), repeated(v)))
    x = m.add("Add", x, e.linear(mixed, WIDTH, WIDTH, bias=False))
    y = e.rms_norm(x)
    gate = e.silu(e.linear(y, WIDTH, INNER, bias=False))
    inner = m.add("Mul", gate, e.linear(y, WIDTH, INNER, bias=False))
    x = m.add("Add", x, e.linear(inner, INNER, WIDTH, bias=False))
    return m.build(e.rms_norm(x))


MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    f.__name__: f for f in (bert_torch, bert_tensorflow, vit_torch, gpt2_torch, llama_torch)
}
NORMS = {"bert_torch": 5, "bert_tensorflow": 3, "vit_torch": 5, "gpt2_torch": 3, "llama_torch": 3}
ATTENTIONS = {
    "bert_torch": 2, "bert_tensorflow": 1, "vit_torch": 2, "gpt2_torch": 1, "llama_torch": 1,
}  # fmt: skip


def feed_of(model: onnx.ModelProto, count: int = 0, seed: int = 9) -> dict[str, np.ndarray]:
    """Return one feed, or `count` of them along a new dimension."""
    rng = np.random.default_rng(seed)
    feed: dict[str, np.ndarray] = {}
    for value in model.graph.input:
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
        shape = [count, *shape] if count else shape
        if value.name == "ids":
            feed["ids"] = rng.integers(0, WORDS, shape)
        elif value.name == "mask":
            feed["mask"] = np.where(
                np.arange(ROWS) < rng.integers(4, ROWS, shape[:-1])[..., None], 1, 0
            )
        else:
            feed[value.name] = rng.standard_normal(shape).astype(np.float32)
    return feed
