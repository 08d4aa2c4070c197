"""Which tensors are scaled alike, and that scaling any found link changes no result."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maccel_aio.compiler.equalise import rescale
from maccel_aio.compiler.ir import Activation, Graph, Node, Residual
from maccel_aio.compiler.links import Link, find_links, is_homogeneous
from maccel_aio.compiler.precision import PrecisionOptions
from tests.compiler.evaluator import Evaluator
from tests.compiler.graphs import RELU, Builder, feeds, statistics

RELU6 = Activation("clamp", 0.0, 6.0)


def everywhere(node: Node) -> bool:
    return True


def links_of(graph: Graph) -> list[Link]:
    return find_links(graph, everywhere, PrecisionOptions())


def sets_of(graph: Graph) -> list[tuple[str, ...]]:
    return [link.tensors for link in links_of(graph)]


def test_a_residual_stream_is_one_link() -> None:
    b = Builder((1, 8, 6, 6))
    first = b.conv("x", 8)
    second = b.conv(b.conv(first, 12, act=RELU), 8, residual=first)
    third = b.add("Add", [second, b.conv(second, 8, kernel=3)], (1, 8, 6, 6), act=RELU)
    out = b.conv(third, 4)
    (stream,) = [link for link in links_of(b.graph(out)) if first in link.tensors]
    assert set(stream.tensors) == {first, second, "t3", third}
    assert [node.name for node in stream.makers] == ["t0", "t2", "t3"]
    assert [node.name for _, node in stream.readers] == ["t1", "t3", "t5"]
    assert set(stream.eight) == {first, second, third}


def test_a_layer_that_adds_its_own_input_reads_it_once() -> None:
    b = Builder((1, 8, 6, 6))
    first = b.conv("x", 8)
    out = b.conv(b.conv(first, 8, residual=first), 4)
    (link,) = links_of(b.graph(out))
    assert [node.name for _, node in link.readers] == ["t1", "t2"]


def test_outputs_and_curved_activations_bar_what_they_are_added_to() -> None:
    b = Builder((1, 8, 6, 6))
    stem = b.conv("x", 8, act=RELU)
    curved = b.conv(stem, 8, act=Activation("sigmoid"))
    added = b.conv(stem, 8, residual=curved)
    out = b.conv(added, 8)
    assert sets_of(b.graph(out)) == [(stem,)]
    b = Builder((1, 8, 6, 6))
    stem = b.conv("x", 8)
    assert sets_of(b.graph(b.conv(stem, 4), stem)) == []


def test_pooling_and_gates_pass_scales_through() -> None:
    b = Builder((1, 8, 6, 6))
    stem = b.conv("x", 8, act=RELU)
    pooled = b.add(
        "AveragePool", [stem], (1, 8, 1, 1), kernel=(6, 6), strides=(6, 6), pads=(0,) * 4,
        dilations=(1, 1), include_pad=False,
    )  # fmt: skip
    gate = b.conv(pooled, 8, act=Activation("sigmoid"))
    gated = b.add("Mul", [gate, stem], (1, 8, 6, 6))
    out = b.conv(gated, 4)
    assert [set(names) for names in sets_of(b.graph(out))] == [{stem, pooled, gated}]


@pytest.mark.parametrize("op", ["Mul", "Concat", "Softmax"])
def test_what_does_not_commute_is_no_link(op: str) -> None:
    b = Builder((1, 8, 6, 6))
    one, other = b.conv("x", 8), b.conv("x", 8)
    inputs = [one] if op == "Softmax" else [one, other]
    shape = (1, 16 if op == "Concat" else 8, 6, 6)
    out = b.conv(b.add(op, inputs, shape, axis=1), 4)
    assert sets_of(b.graph(out)) == []


def test_an_end_below_infinity_allows_one_tensor_only() -> None:
    b = Builder((1, 8, 6, 6))
    stem = b.conv("x", 8, act=RELU6)
    assert sets_of(b.graph(b.conv(stem, 4))) == [(stem,)]
    b = Builder((1, 8, 6, 6))
    stem = b.conv("x", 8, act=RELU6)
    assert sets_of(b.graph(b.conv(b.conv(stem, 8, residual=stem), 4))) == []
    b = Builder((1, 8, 6, 6))
    total = b.add("Add", [b.conv("x", 8), b.conv("x", 8)], (1, 8, 6, 6), act=RELU6)
    assert sets_of(b.graph(b.conv(total, 4))) == []


def test_only_what_the_device_runs_is_scaled() -> None:
    b = Builder((1, 8, 6, 6))
    stem = b.conv("x", 8)
    graph = b.graph(b.conv(stem, 4))
    assert find_links(graph, lambda node: node.name != "t1", PrecisionOptions()) == []


@pytest.mark.parametrize(
    ("act", "wanted"),
    [
        (None, True),
        (RELU, True),
        (RELU6, True),
        (Activation("clamp", -1.0, 1.0), False),
        (Activation("leaky", 0.1), True),
        (Activation("hardswish", 1 / 6, 0.5), False),
    ],
)
def test_homogeneous_activations(act: Activation | None, wanted: bool) -> None:
    assert is_homogeneous(act) is wanted


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["conv", "dw", "sum", "inside", "act"]), max_size=6), st.data())
def test_any_scale_of_any_link_changes_no_output(steps: list[str], data: st.DataObject) -> None:
    b = Builder((1, 4, 5, 5), seed=data.draw(st.integers(0, 99)))
    names = [b.conv("x", 6, act=RELU)]
    for step in steps:
        x, y = data.draw(st.sampled_from(names)), data.draw(st.sampled_from(names))
        if step == "sum":
            names.append(b.add("Add", [x, y], (1, 6, 5, 5), act=data.draw(acts())))
        elif step == "act":
            names.append(b.add("Activation", [x], (1, 6, 5, 5), act=Activation("leaky", 0.2)))
        else:
            inside = y if step == "inside" else None
            group = 6 if step == "dw" else 1
            names.append(
                b.conv(x, 6, kernel=3, group=group, act=data.draw(acts()), residual=inside)
            )
            if inside and data.draw(st.booleans()):
                b.nodes[-1].residual = Residual(y, after_act=True)
    out = b.conv(names[-1], 3)
    graph = b.graph(out)
    sample = feeds(graph, 1)[0]
    exact, stats = Evaluator(graph).run(sample), statistics(graph, [sample])
    rng = np.random.default_rng(7)
    for link in links_of(graph):
        scale = rng.uniform(0.1, 1.0, 6)
        rescale(link, stats, scale)
        found = Evaluator(graph).run(sample)
        for name in link.tensors:
            back = found[name] * scale[None, :, None, None]
            np.testing.assert_allclose(back, exact[name], rtol=2e-3, atol=2e-3)
            np.testing.assert_allclose(stats[name].high, found[name].max(), rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(Evaluator(graph).run(sample)[out], exact[out], rtol=2e-3, atol=2e-3)


def acts() -> st.SearchStrategy[Activation | None]:
    return st.sampled_from([None, RELU, Activation("leaky", 0.1)])
