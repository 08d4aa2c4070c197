"""Which tensors share a format, and which leave 8 bits."""

import numpy as np
import pytest

from maccel_aio.compiler.ir import Activation, Node
from maccel_aio.compiler.precision import (
    Group,
    PrecisionOptions,
    choose,
    copy_name,
    find_groups,
    insert_copies,
    macs,
)
from tests.compiler.graphs import RELU, Builder


def everywhere(node: Node) -> bool:
    return True


def storage(groups: list[Group]) -> dict[str, str]:
    return {name: group.dtype for group in groups for name in group.members}


def test_plain_convolutions_are_8_bit_and_outputs_are_float() -> None:
    b = Builder((1, 3, 8, 8))
    first = b.conv("x", 4, act=RELU)
    second = b.conv(first, 5)
    found = storage(choose(b.graph(second), everywhere))
    assert found == {"x": "u8", first: "u8", second: "f32"}


def test_views_share_the_format_of_what_they_view() -> None:
    b = Builder((1, 4, 8, 8))
    left, right = b.conv("x", 4), b.conv("x", 4)
    joined = b.add("Concat", [left, right], (1, 8, 8, 8), axis=1)
    pooled = b.add("MaxPool", [joined], (1, 8, 4, 4), kernel=(2, 2), strides=(2, 2))
    last = b.conv(pooled, 3)
    groups = find_groups(b.graph(last), everywhere)
    assert [left, right, joined, pooled] in [group.members for group in groups]


def test_an_output_behind_a_reshape_leaves_the_accumulator_as_float() -> None:
    b = Builder((1, 4, 8, 8))
    conv = b.conv("x", 4)
    flat = b.add("Reshape", [conv], (1, 256))
    assert storage(choose(b.graph(flat), everywhere))[conv] == "f32"


def test_the_residual_stream_is_16_bit_with_8_bit_copies_for_convolutions() -> None:
    b = Builder((1, 4, 8, 8))
    stem = b.conv("x", 8)
    inner = b.conv(stem, 16, act=RELU)
    added = b.conv(inner, 8, residual=stem)
    last = b.conv(added, 2)
    graph = b.graph(last)
    groups = choose(graph, everywhere)
    assert storage(groups)[stem] == "s16"
    assert storage(groups)[inner] == "u8"
    copies = insert_copies(graph, groups, everywhere)
    assert [group.members for group in copies] == [[copy_name(stem)]]
    assert [node.op for node in graph.nodes][:2] == ["Conv", "Activation"]
    by_name = {node.name: node for node in graph.nodes}
    assert by_name[inner].inputs[0] == copy_name(stem)
    assert by_name[added].inputs == [inner, stem]


def test_the_residual_stream_can_stay_8_bit() -> None:
    b = Builder((1, 4, 8, 8))
    stem = b.conv("x", 4)
    added = b.conv(b.conv(stem, 4), 4, residual=stem)
    last = b.conv(added, 2)
    options = PrecisionOptions(wide_sums=False)
    assert storage(choose(b.graph(last), everywhere, options))[stem] == "u8"


@pytest.mark.parametrize(("op", "dtype"), [("Pow", "u8"), ("Activation", "s16")])
def test_a_factor_that_is_a_power_stays_8_bit_since_a_table_makes_it(op: str, dtype: str) -> None:
    b = Builder((1, 4, 8, 8))
    conv = b.conv("x", 4)
    factor = b.add(op, [b.conv("x", 4)], (1, 4, 8, 8))
    last = b.conv(b.add("Mul", [conv, factor], (1, 4, 8, 8)), 4)
    assert storage(choose(b.graph(last), everywhere))[factor] == dtype


@pytest.mark.parametrize("op", ["Softmax", "LayerNorm"])
def test_softmax_and_layer_norm_read_float(op: str) -> None:
    b = Builder((1, 4, 8, 8))
    conv = b.conv("x", 4)
    last = b.conv(b.add(op, [conv], (1, 4, 8, 8)), 4)
    assert storage(choose(b.graph(last), everywhere))[conv] == "f32"


def test_a_tensor_that_meets_the_processor_is_float_and_its_convolution_reads_a_copy() -> None:
    b = Builder((1, 4, 8, 8))
    conv = b.conv("x", 4)
    odd = b.add("NonMaxSuppression", [conv], (1, 4, 8, 8))
    last = b.conv(conv, 4)
    graph = b.graph(odd, last)
    groups = choose(graph, lambda node: node.op != "NonMaxSuppression")
    found = {group.members[0]: group for group in groups}
    assert found[conv].dtype == "f32"
    assert found[conv].eight == [conv]


def test_pooled_vectors_stay_float_only_while_they_feed_little() -> None:
    b = Builder((1, 16, 64, 64))
    wide = b.conv("x", 64, kernel=3)
    pooled = b.add("AveragePool", [wide], (1, 64, 1, 1), kernel=(64, 64))
    small = b.conv(pooled, 4)
    found = storage(choose(b.graph(small), everywhere))
    assert found[pooled] == "f32"
    strict = PrecisionOptions(vector_share=0.0)
    assert storage(choose(b.graph(small), everywhere, strict))[pooled] == "u8"
    heavy = PrecisionOptions(vector_weights=0.001)
    assert storage(choose(b.graph(small), everywhere, heavy))[pooled] == "u8"


def test_macs_count_products() -> None:
    b = Builder((1, 6, 5, 5))
    name = b.conv("x", 4, kernel=3, group=2)
    assert macs(b.graph(name), b.nodes[0]) == 25 * 4 * 3 * 9
    assert macs(b.graph(name), Node("Add", "a", ["x"], ["x"])) == 0


def test_integer_tensors_have_no_group() -> None:
    b = Builder((1, 4, 8, 8))
    name = b.conv("x", 4)
    b.tensors["x"].dtype = np.dtype(np.int64)
    assert [group.members for group in find_groups(b.graph(name), everywhere)] == [[name]]


def test_a_tensor_is_stored_as_the_caller_wants() -> None:
    b = Builder((1, 4, 8, 8))
    first, second = b.conv("x", 4, act=RELU), b.conv("x", 4)
    joined = b.add("Concat", [first, second], (1, 8, 8, 8), axis=1)
    last = b.conv(b.conv(joined, 3, act=RELU), 2)
    options = PrecisionOptions(storage={second: "s16", "x": "f32"})
    found = storage(choose(b.graph(last), everywhere, options))
    assert {found[name] for name in (first, second, joined)} == {"s16"}
    assert (found["x"], found[last]) == ("f32", "f32")


def test_a_convolution_may_read_the_16_bit_stream_itself() -> None:
    b = Builder((1, 4, 8, 8))
    stem = b.conv("x", 8)
    added = b.conv(b.conv(stem, 16, act=RELU), 8, residual=stem)
    last = b.conv(added, 2)
    options = PrecisionOptions(storage={copy_name(stem): "s16"})
    (group,) = [g for g in choose(b.graph(last), everywhere, options) if stem in g.members]
    assert (group.dtype, group.eight) == ("s16", [])


def test_sequences_stay_float_until_a_layer_reads_them() -> None:
    b = Builder((1, 8, 16))
    mean = b.add("Reduce", ["x"], (1, 8, 1), kind="mean", axes=(2,), keepdims=True)
    centred = b.add("Sub", ["x", mean], (1, 8, 16))
    product = b.add("Mul", [centred, centred], (1, 8, 16))
    pooled = b.add("MaxPool", [product], (1, 8, 15), kernel=(1, 2), strides=(1, 1))
    last = b.add("Mul", [pooled, pooled], (1, 8, 15))
    found = storage(choose(b.graph(last), everywhere))
    assert [found[name] for name in ("x", mean, centred)] == ["f32"] * 3
    assert found[product] == found[pooled] != "f32"


@pytest.mark.parametrize("kind", ["log", "sqrt", "rsqrt", "reciprocal", "exp"])
def test_steep_functions_read_float(kind: str) -> None:
    b = Builder((1, 4, 8, 8))
    power = b.add("Mul", ["x", "x"], (1, 4, 8, 8))
    steep = b.add("Activation", [power], (1, 4, 8, 8), act=Activation(kind))
    found = storage(choose(b.graph(b.conv(steep, 3)), everywhere))
    assert found[power] == "f32"
    assert found[steep] == "u8"
