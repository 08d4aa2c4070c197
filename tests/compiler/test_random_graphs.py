"""Random graphs of layout-sensitive operators compute what onnxruntime computes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnxruntime as ort
from hypothesis import given, settings
from hypothesis import strategies as st

from maccel_aio import compiler
from tests.compiler.device import File
from tests.compiler.onnx_models import Model

STEPS = (
    "conv", "deconv", "relu", "transpose", "flat", "split", "slice", "concat", "add", "scale",
    "pool", "resize", "pad", "reduce", "softmax", "squeeze", "linear", "depth", "prelu", "mul",
)  # fmt: skip


class Grower:
    """Adds random nodes to a model; `tensors` are (name, shape) that later nodes may read."""

    def __init__(self, data: Any) -> None:
        self.data = data
        shape = tuple(data.draw(st.sampled_from([1, 2, 3, 4, 6, 8])) for _ in range(3))
        self.m = Model({"x": (1, *shape)})
        self.tensors: list[tuple[str, tuple[int, ...]]] = [("x", (1, *shape))]

    def pick(self, rank: int | None = None) -> tuple[str, tuple[int, ...]] | None:
        found = [t for t in self.tensors if rank is None or len(t[1]) == rank]
        return self.data.draw(st.sampled_from(found)) if found else None

    def keep(self, name: str, shape: tuple[int, ...]) -> None:
        if 0 < math.prod(shape) < 4000:
            self.tensors.append((name, shape))

    def grow(self, step: str) -> None:
        image = step in ("conv", "deconv", "pool", "resize", "depth", "prelu", "squeeze")
        source = self.pick(4 if image else None)
        if source is not None:
            getattr(self, f"do_{step}")(*source)

    def do_conv(self, x, s):
        kernel = self.data.draw(st.sampled_from([1, 3]))
        stride, out = self.data.draw(st.integers(1, 2)), self.data.draw(st.integers(1, 5))
        pad = kernel // 2
        name = self.m.conv(x, (out, s[1], kernel, kernel), strides=[stride] * 2, pads=[pad] * 4)
        self.keep(name, (s[0], out, *(((n - 1) // stride + 1) for n in s[2:])))

    def do_deconv(self, x, s):
        w = self.m.random(s[1], 3, 2, 2, scale=0.4)
        self.keep(self.m.add("ConvTranspose", x, w, strides=[2, 2]), (s[0], 3, s[2] * 2, s[3] * 2))

    def do_relu(self, x, s):
        self.keep(self.m.add("Relu", x), s)

    def do_transpose(self, x, s):
        perm = self.data.draw(st.permutations(range(len(s))))
        self.keep(self.m.add("Transpose", x, perm=perm), tuple(s[p] for p in perm))

    def do_flat(self, x, s):
        k = self.data.draw(st.integers(0, len(s)))
        new = (math.prod(s[:k]), math.prod(s[k:]))
        self.keep(self.m.add("Reshape", x, self.m.const(new, np.int64)), new)

    def do_squeeze(self, x, s):
        new = (1, s[1], 1, s[2] * s[3]) if s[0] == 1 else (s[0], 1, s[1], s[2] * s[3])
        self.keep(self.m.add("Reshape", x, self.m.const(new, np.int64)), new)

    def do_split(self, x, s):
        axis = self.data.draw(st.integers(0, len(s) - 1))
        if s[axis] < 2:
            return
        sizes = [1, s[axis] - 1]
        names = self.m.add("Split", x, self.m.const(sizes, np.int64), outputs=2, axis=axis)
        for name, size in zip(names, sizes, strict=True):
            self.keep(name, (*s[:axis], size, *s[axis + 1 :]))

    def do_slice(self, x, s):
        axis, step = self.data.draw(st.integers(0, len(s) - 1)), self.data.draw(st.integers(1, 2))
        start = self.data.draw(st.integers(0, s[axis] - 1))
        args = [self.m.const([v], np.int64) for v in (start, 10**6, axis, step)]
        size = len(range(start, s[axis], step))
        self.keep(self.m.add("Slice", x, *args), (*s[:axis], size, *s[axis + 1 :]))

    def do_concat(self, x, s):
        axis = self.data.draw(st.integers(0, len(s) - 1))
        fits = [
            t
            for t in self.tensors
            if len(t[1]) == len(s)
            and all(a == b or d == axis for d, (a, b) in enumerate(zip(t[1], s)))  # noqa: B905
        ]
        others = self.data.draw(st.lists(st.sampled_from(fits), min_size=1, max_size=2))
        size = s[axis] + sum(t[1][axis] for t in others)
        name = self.m.add("Concat", x, *(t[0] for t in others), axis=axis)
        self.keep(name, (*s[:axis], size, *s[axis + 1 :]))

    def _second(self, op, x, s):
        fits = [t for t in self.tensors if t[1] == s]
        self.keep(self.m.add(op, x, self.data.draw(st.sampled_from(fits))[0]), s)

    def do_add(self, x, s):
        self._second("Add", x, s)

    def do_mul(self, x, s):
        self._second("Mul", x, s)

    def do_scale(self, x, s):
        keep = self.data.draw(st.lists(st.booleans(), min_size=len(s), max_size=len(s)))
        dims = [n if k else 1 for n, k in zip(s, keep, strict=True)]
        op = self.data.draw(st.sampled_from(["Mul", "Add", "Sub", "Max"]))
        names = [x, self.m.random(*dims)]
        if self.data.draw(st.booleans()):
            names.reverse()
        self.keep(self.m.add(op, *names), s)

    def do_pool(self, x, s):
        if min(s[2:]) < 2:
            return
        op = self.data.draw(st.sampled_from(["MaxPool", "AveragePool"]))
        name = self.m.add(op, x, kernel_shape=[2, 2], strides=[2, 2])
        self.keep(name, (s[0], s[1], s[2] // 2, s[3] // 2))

    def do_resize(self, x, s):
        mode = self.data.draw(st.sampled_from(["nearest", "linear"]))
        scales = self.m.const(np.array([1, 1, 2, 3], np.float32))
        self.keep(self.m.add("Resize", x, "", scales, mode=mode), (s[0], s[1], s[2] * 2, s[3] * 3))

    def do_pad(self, x, s):
        pads = [self.data.draw(st.integers(0, 1)) for _ in range(2 * len(s))]
        name = self.m.add("Pad", x, self.m.const(pads, np.int64), self.m.const(0.5))
        self.keep(name, tuple(n + pads[k] + pads[k + len(s)] for k, n in enumerate(s)))

    def do_reduce(self, x, s):
        axes = sorted(self.data.draw(st.sets(st.integers(0, len(s) - 1), min_size=1)))
        keep = self.data.draw(st.booleans())
        if not keep and len(axes) == len(s):
            return
        name = self.m.add("ReduceMean", x, axes=axes, keepdims=int(keep))
        kept = [1 if d in axes else n for d, n in enumerate(s) if keep or d not in axes]
        self.keep(name, tuple(kept))

    def do_softmax(self, x, s):
        self.keep(self.m.add("Softmax", x, axis=self.data.draw(st.integers(0, len(s) - 1))), s)

    def do_linear(self, x, s):
        if len(s) > 1:
            self.keep(self.m.add("MatMul", x, self.m.random(s[-1], 3)), (*s[:-1], 3))

    def do_depth(self, x, s):
        if s[1] % 4 == 0:
            name = self.m.add("DepthToSpace", x, blocksize=2)
            self.keep(name, (s[0], s[1] // 4, s[2] * 2, s[3] * 2))

    def do_prelu(self, x, s):
        self.keep(self.m.add("PRelu", x, self.m.random(s[1], 1, 1)), s)


def _model(data: Any) -> tuple[Model, list[str]]:
    grower = Grower(data)
    for step in data.draw(st.lists(st.sampled_from(STEPS), min_size=2, max_size=9)):
        grower.grow(step)
    grower.do_relu(*grower.tensors[-1])
    made = [name for name, _ in grower.tensors if name != "x"]
    extra = data.draw(st.sets(st.sampled_from(made), max_size=2))
    return grower.m, list(dict.fromkeys([*sorted(extra), made[-1]]))


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_random_graphs_compute_what_onnxruntime_computes(data, tmp_path_factory):
    m, outputs = _model(data)
    model = m.build(*outputs)
    path = tmp_path_factory.mktemp("random") / "m.mxq"
    feed = m.feed()
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    report = compiler.compile(model, path, precision="float32")
    assert all(layer.where == "npu" for layer in report.layers)
    for want, have in zip(session.run(None, feed), File(path.read_bytes()).run(feed), strict=True):
        assert have.shape == want.shape
        np.testing.assert_allclose(have, want, rtol=2e-4, atol=2e-4)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_random_graphs_run_in_int8(data, tmp_path_factory):
    m, outputs = _model(data)
    model = m.build(*outputs)
    path = tmp_path_factory.mktemp("random") / "m.mxq"
    samples = m.feed(4)
    compiler.compile(model, path, calibration=samples)
    feed = {name: value[0] for name, value in samples.items()}
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for want, have in zip(session.run(None, feed), File(path.read_bytes()).run(feed), strict=True):
        assert have.shape == want.shape
        noise = np.square(want.astype(np.float64) - have).sum()
        assert noise <= 0.05 * np.square(want.astype(np.float64)).sum() + 0.05
