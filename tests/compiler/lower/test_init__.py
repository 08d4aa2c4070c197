"""What programs look like: which moves cost nothing, and what shares memory."""

from collections import Counter

import numpy as np
import pytest

from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.ir import FLOAT, Graph, TensorQuant
from maccel_aio.compiler.isa import Op
from maccel_aio.compiler.lower import Lowered, lower_bundle
from maccel_aio.compiler.numeric import quantise_graph
from maccel_aio.compiler.passes import run_passes
from tests.compiler.onnx_models import Model

IMAGE = (1, 6, 9, 11)


def _lowered(m: Model, *outputs: str, int8: bool = False) -> tuple[Graph, Lowered]:
    graph = import_model(m.build(*outputs))
    run_passes(graph)
    if int8:
        quantise_graph(graph, m.feed(4), on_npu=lambda _: True)
    layers = {id(node): k for k, node in enumerate(graph.nodes)}
    return graph, lower_bundle(graph, graph.nodes, graph.inputs, graph.outputs, layers=layers)


def _ops(lowered: Lowered) -> Counter[str]:
    return Counter(insn.op.name for insn in lowered.emitter.instructions)


def test_a_channels_last_model_needs_no_copy():
    m = Model({"x": (1, 12, 10, 3)})
    t = m.add("Transpose", "x", perm=[0, 3, 1, 2])
    t = m.add("Relu", m.conv(t, (8, 3, 3, 3), pads=[1, 1, 1, 1]))
    out = m.add("Transpose", m.conv(t, (4, 8, 1, 1)), perm=[0, 2, 3, 1])
    _, lowered = _lowered(m, out)
    assert _ops(lowered) == {"CONVF": 2}
    assert lowered.input_perms == ((0, 1, 2, 3),)
    assert lowered.output_perms == ((0, 1, 2, 3),)


def test_a_channels_first_model_is_permuted_at_its_borders_only():
    m = Model({"x": IMAGE})
    _, lowered = _lowered(m, m.conv(m.add("Relu", "x"), (4, 6, 3, 3)))
    assert _ops(lowered) == {"MAP": 1, "CONVF": 1}
    assert lowered.input_perms == ((0, 2, 3, 1),)


def test_pooled_features_flatten_for_nothing():
    m = Model({"x": IMAGE})
    t = m.add("Flatten", m.add("GlobalAveragePool", m.conv("x", (5, 6, 3, 3))))
    _, lowered = _lowered(m, m.add("Gemm", t, m.random(3, 5), transB=1))
    assert _ops(lowered) == {"CONVF": 2, "POOL": 1}


def test_flattening_an_image_in_channel_order_is_one_copy():
    m = Model({"x": IMAGE})
    _, lowered = _lowered(m, m.add("Flatten", m.conv("x", (5, 6, 3, 3))))
    assert _ops(lowered) == {"CONVF": 1, "MAP": 1}


def test_concatenated_convolutions_write_into_one_buffer():
    m = Model({"x": IMAGE})
    parts = [m.conv("x", (n, 6, 1, 1)) for n in (2, 3, 4)]
    inner = m.add("Concat", *parts[:2], axis=1)
    _, lowered = _lowered(m, m.add("Concat", inner, parts[2], axis=1))
    assert _ops(lowered) == {"CONVF": 3}
    outs = [insn.outputs[0] for insn in lowered.emitter.instructions]
    assert len({id(view.buffer) for view in outs}) == 1
    assert [view.offset for view in outs] == [0, 8, 20]


def test_parts_of_a_split_are_views():
    m = Model({"x": IMAGE})
    first, second = m.add("Split", m.conv("x", (6, 6, 1, 1)), m.const([2, 4], np.int64), outputs=2, axis=1)  # fmt: skip  # noqa: E501
    _, lowered = _lowered(m, m.conv(first, (3, 2, 1, 1)), m.conv(second, (3, 4, 1, 1)))
    assert _ops(lowered) == {"CONVF": 3}


def test_an_elementwise_chain_works_in_place():
    m = Model({"x": IMAGE})
    t = m.conv("x", (6, 6, 1, 1))
    for _ in range(3):
        t = m.add("Mul", m.add("Exp", t), m.random(6, 1, 1))
    _, lowered = _lowered(m, t)
    insns = lowered.emitter.instructions
    assert len({id(insn.outputs[0].buffer.root) for insn in insns}) == 1


def test_a_tensor_that_is_read_later_is_not_overwritten():
    m = Model({"x": IMAGE})
    t = m.conv("x", (6, 6, 1, 1))
    _, lowered = _lowered(m, m.add("Add", m.add("Exp", t), m.add("Sin", t)))
    conv, exp, *_ = lowered.emitter.instructions
    assert conv.outputs[0].buffer.root is not exp.outputs[0].buffer.root


def test_images_of_few_channels_lie_in_a_border_of_zero_points():
    m = Model({"x": (1, 3, 12, 14)})
    graph, lowered = _lowered(m, m.conv("x", (8, 3, 3, 3), pads=[1, 0, 2, 1]), int8=True)
    fills = [insn for insn in lowered.emitter.instructions if insn.op == Op.FILL]
    conv = lowered.emitter.instructions[-1]
    assert len(fills) == 3
    assert all(fill.ints[0] == graph.tensors["x"].storage.zero for fill in fills)
    assert conv.inputs[0] is not None
    assert conv.inputs[0].dims == (1, 15, 15, 3)
    assert [conv.ints[slot] for slot in (4, 5, 6, 7)] == [0, 0, 0, 0]


def test_pixels_of_8_bit_images_start_at_multiples_of_16():
    m = Model({"x": IMAGE})
    _, lowered = _lowered(m, m.conv(m.conv("x", (20, 6, 1, 1)), (4, 20, 1, 1)), int8=True)
    out = lowered.emitter.instructions[0].outputs[0]
    assert out.strides == (9 * 11 * 32, 11 * 32, 32, 1)
    assert out.pad_channels


def test_a_convolution_writes_the_8_bit_copy_of_a_wide_sum_itself():
    m = Model({"x": (1, 8, 9, 9)})
    t = m.add("Relu", m.conv("x", (8, 8, 3, 3), pads=[1] * 4))
    for _ in range(2):
        t = m.add("Add", m.conv(m.conv(t, (8, 8, 3, 3), pads=[1] * 4), (8, 8, 1, 1)), t)
    _, lowered = _lowered(m, m.conv(t, (4, 8, 1, 1)), int8=True)
    pairs = [tuple(v.dtype for v in i.outputs) for i in lowered.emitter.instructions]
    assert ("s16", "u8") in pairs
    assert "MAP" not in _ops(lowered)


def test_8_bit_functions_are_tables():
    m = Model({"x": IMAGE})
    graph = import_model(m.build(m.add("Sigmoid", "x")))
    run_passes(graph)
    graph.tensors["x"].quant = TensorQuant("u8", 0.1, 128)
    graph.tensors[graph.outputs[0]].quant = TensorQuant("u8", 1 / 255, 0)
    lowered = lower_bundle(graph, graph.nodes, graph.inputs, graph.outputs, layers={})
    (insn,) = lowered.emitter.instructions
    table = lowered.emitter.constants[insn.consts[3]]
    want = np.rint(255 / (1 + np.exp(-(np.arange(256) - 128) * 0.1)))
    np.testing.assert_array_equal(table, want)


def test_equal_constants_are_stored_once():
    m = Model({"x": IMAGE})
    weights = [m.random(6, 6, 1, 1), m.random(6)]
    t = m.add("Conv", m.add("Sin", m.add("Conv", "x", *weights)), *weights)
    _, lowered = _lowered(m, t)
    assert len(lowered.emitter.constants) == 2


@pytest.mark.parametrize("dims", [(), (3,), (2, 3, 4, 5, 6)])
def test_tensors_of_any_rank_are_lowered(dims):
    m = Model({"x": dims})
    graph, lowered = _lowered(m, m.add("Exp", m.add("Abs", "x")))
    assert all(t.storage == FLOAT for t in graph.tensors.values())
    assert lowered.output_perms == (tuple(range(len(dims))),)
