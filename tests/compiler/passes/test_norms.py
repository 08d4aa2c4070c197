"""LayerNorm and RMSNorm in every spelling of exporters become one operator."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compiler.onnx_models import Model
from tests.compiler.passes.graphs import ops, passed

WIDTH = 24
GAMMA = np.random.default_rng(4).uniform(0.2, 2.0, WIDTH).astype(np.float32)
BETA = np.random.default_rng(5).normal(size=WIDTH).astype(np.float32)
Spelling = Callable[[Model, str, float], str]


def centred(m: Model, x: str) -> str:
    return str(m.add("Sub", x, m.add("ReduceMean", x, axes=[-1])))


def weighted(m: Model, x: str) -> str:
    return str(m.add("Add", m.add("Mul", x, m.const(GAMMA)), m.const(BETA)))


def torch_layer_norm(m: Model, x: str, epsilon: float) -> str:
    """PyTorch before operator set 17: a power, a root and a division."""
    d = centred(m, x)
    square = m.add("Pow", d, m.const(2.0))
    variance = m.add("Add", m.add("ReduceMean", square, axes=[-1]), m.const(epsilon))
    return weighted(m, m.add("Div", d, m.add("Sqrt", variance)))


def product_layer_norm(m: Model, x: str, epsilon: float) -> str:
    """A product for the square, the centre computed twice."""
    d = centred(m, x)
    variance = m.add("Add", m.const(epsilon), m.add("ReduceMean", m.add("Mul", d, d), axes=[-1]))
    root = m.add("Reciprocal", m.add("Sqrt", variance))
    return weighted(m, m.add("Mul", root, centred(m, x)))


def tensorflow_layer_norm(m: Model, x: str, epsilon: float) -> str:
    """TensorFlow: ``x * f + (beta - mean * f)`` with ``f = gamma / sqrt(variance + epsilon)``."""
    mean = m.add("ReduceMean", x, axes=[-1])
    d = m.add("Sub", x, mean)
    variance = m.add("ReduceMean", m.add("Mul", d, d), axes=[-1])
    root = m.add("Reciprocal", m.add("Sqrt", m.add("Add", variance, m.const(epsilon))))
    factor = m.add("Mul", root, m.const(GAMMA))
    shift = m.add("Sub", m.const(BETA), m.add("Mul", mean, factor))
    return str(m.add("Add", m.add("Mul", x, factor), shift))


def moments_layer_norm(m: Model, x: str, epsilon: float) -> str:
    """The variance as a mean of squares less the squared mean."""
    mean = m.add("ReduceMean", x, axes=[-1])
    squares = m.add("ReduceMean", m.add("Mul", x, x), axes=[-1])
    variance = m.add("Sub", squares, m.add("Mul", mean, mean))
    root = m.add("Sqrt", m.add("Add", variance, m.const(epsilon)))
    return weighted(m, m.add("Div", m.add("Sub", x, mean), root))


def llama_rms_norm(m: Model, x: str, epsilon: float) -> str:
    """Mean of squares, reciprocal root, weight in front."""
    square = m.add("ReduceMean", m.add("Pow", x, m.const(2.0)), axes=[-1])
    root = m.add("Sqrt", m.add("Add", square, m.const(epsilon)))
    scaled = m.add("Mul", x, m.add("Div", m.const(1.0), root))
    return str(m.add("Mul", m.const(GAMMA), scaled))


def power_rms_norm(m: Model, x: str, epsilon: float) -> str:
    """A power of -1/2."""
    square = m.add("ReduceMean", m.add("Mul", x, x), axes=[-1])
    root = m.add("Pow", m.add("Add", square, m.const(epsilon)), m.const(-0.5))
    return str(m.add("Mul", m.add("Mul", x, root), m.const(GAMMA)))


LAYER = (torch_layer_norm, product_layer_norm, tensorflow_layer_norm, moments_layer_norm)
RMS = (llama_rms_norm, power_rms_norm)


@pytest.mark.parametrize("simplify", [True, False])
@pytest.mark.parametrize("spelling", [*LAYER, *RMS])
@pytest.mark.parametrize("epsilon", [1e-12, 1e-6, 1e-5, 1e-3])
def test_every_spelling_is_one_operator(spelling: Spelling, epsilon: float, simplify: bool):
    m = Model({"x": (1, 5, WIDTH)})
    graph = passed(m, m.add("Relu", spelling(m, "x", epsilon)), simplify=simplify)
    assert ops(graph) == ["LayerNorm", "Activation"]
    attrs = graph.nodes[0].attrs
    assert attrs["epsilon"] == pytest.approx(epsilon, rel=1e-6)
    assert attrs["rms"] == (spelling in RMS)
    np.testing.assert_allclose(attrs["scale"], GAMMA, rtol=1e-6)
    if spelling in LAYER:
        np.testing.assert_allclose(attrs["bias"], BETA, rtol=1e-6, atol=1e-7)
    else:
        assert attrs["bias"] is None


def test_sums_around_a_norm_stay():
    m = Model({"x": (1, 5, WIDTH), "y": (1, 5, WIDTH)})
    before = m.add("Add", "x", "y")
    after = m.add("Add", torch_layer_norm(m, before, 1e-5), before)
    assert ops(passed(m, after)) == ["Add", "LayerNorm", "Add"]


def test_a_mean_that_is_wanted_is_still_made():
    m = Model({"x": (1, 5, WIDTH)})
    mean = m.add("ReduceMean", "x", axes=[-1])
    d = m.add("Sub", "x", mean)
    square = m.add("ReduceMean", m.add("Mul", d, d), axes=[-1])
    root = m.add("Sqrt", m.add("Add", square, m.const(1e-5)))
    graph = passed(m, m.add("Div", d, root), m.add("Relu", mean))
    assert sorted(ops(graph)) == ["Activation", "LayerNorm", "Reduce"]


@pytest.mark.parametrize("rms", [True, False])
def test_a_deviation_that_gets_epsilon_behind_its_root_is_no_norm(rms: bool):
    m = Model({"x": (1, 5, WIDTH)})
    d = "x" if rms else m.add("Sub", "x", m.add("ReduceMean", "x", axes=[-1]))
    deviation = m.add("Sqrt", m.add("ReduceMean", m.add("Mul", d, d), axes=[-1]))
    y = m.add("Div", d, m.add("Add", deviation, m.const(1e-12)))
    assert "LayerNorm" not in ops(passed(m, y))


@settings(max_examples=30, deadline=None)
@given(
    axis=st.sampled_from([-1, 1]),
    power=st.sampled_from([2.0, 3.0, 4.0]),
    root=st.sampled_from([0.5, 0.4, 1.0]),
    keep=st.booleans(),
)
def test_what_only_looks_like_a_norm_is_none(axis: int, power: float, root: float, keep: bool):
    m = Model({"x": (1, 5, WIDTH)})
    d = m.add("Sub", "x", m.add("ReduceMean", "x", axes=[axis]))
    variance = m.add("ReduceMean", m.add("Pow", d, m.const(power)), axes=[axis])
    shifted = m.add("Add", variance, m.const(1e-5))
    out = m.add("Div", d if keep else "x", m.add("Pow", shifted, m.const(root)))
    is_norm = axis == -1 and power == 2.0 and root == 0.5 and keep
    assert ("LayerNorm" in ops(passed(m, out))) == is_norm
