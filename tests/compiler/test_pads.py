"""Pads that repeat what they surround run on the NPU, in float and in codes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from maccel_aio.compiler.importer import infer
from maccel_aio.compiler.pads import expand_pads
from tests.compiler.families.harness import PROPERTY, compiled, reference
from tests.compiler.onnx_models import Model

MODES = ["reflect", "edge", "wrap"]


def _padded(shape, pads, mode, *, axes=None, opset=19):
    m = Model({"x": shape}, opset=opset)
    inputs = [m.const(pads, np.int64)]
    if axes is not None:
        inputs += ["", m.const(axes, np.int64)]
    return m, m.add("Pad", "x", *inputs, mode=mode)


@PROPERTY
@given(st.sampled_from(MODES), st.lists(st.integers(0, 4), min_size=4, max_size=4))
def test_images_are_padded_as_numpy_pads_them(mode, sides):
    top, left, bottom, right = sides
    m, y = _padded((1, 3, 6, 5), [0, 0, top, left, 0, 0, bottom, right], mode)
    found, feed = compiled(m.build(y)), m.feed()
    assert found.on_cpu() == []
    want = np.pad(feed["x"], [(0, 0), (0, 0), (top, bottom), (left, right)], mode=mode)
    np.testing.assert_array_equal(found.run(feed)[0], want)


@pytest.mark.parametrize("sides", [(4, 2), (2, 4), (4, 4), (4, 0)])
def test_what_is_wrapped_whole_is_another_slice_than_its_start(sides):
    m, y = _padded((1, 2, 4, 3), [0, 0, sides[0], 0, 0, 0, sides[1], 0], "wrap")
    found, feed = compiled(m.build(y)), m.feed()
    assert found.on_cpu() == []
    want = np.pad(feed["x"], [(0, 0), (0, 0), sides, (0, 0)], mode="wrap")
    np.testing.assert_array_equal(found.run(feed)[0], want)


@pytest.mark.parametrize("mode", MODES)
def test_named_axes_and_other_ranks(mode):
    m, y = _padded((4, 7), [1, 2], mode, axes=[-2])
    found, feed = compiled(m.build(y)), m.feed()
    assert found.on_cpu() == []
    np.testing.assert_array_equal(found.run(feed)[0], np.pad(feed["x"], [(1, 2), (0, 0)], mode))


@pytest.mark.parametrize("mode", MODES[:2])
def test_the_forms_of_old_operator_sets(mode):
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in _OLD.items())
    node = helper.make_node("Pad", ["x"], ["y"], pads=[0, 0, 1, 2, 0, 0, 3, 0], mode=mode)
    graph = helper.make_graph([node], "g", [x], [y])
    opsets = [helper.make_opsetid("", 9)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=4)
    found = compiled(model)
    assert found.on_cpu() == []
    feed = {"x": np.random.default_rng(2).standard_normal(_OLD["x"]).astype(np.float32)}
    np.testing.assert_array_equal(found.run(feed)[0], reference(model, feed)[0])


_OLD = {"x": (1, 2, 5, 4), "y": (1, 2, 9, 6)}


@pytest.mark.parametrize("mode", MODES)
def test_a_padded_convolution_computes_in_codes(mode):
    m = Model({"x": (1, 3, 12, 12)}, opset=19)
    first = m.add("Relu", m.conv("x", (8, 3, 1, 1)))
    padded = m.add("Pad", first, m.const([0, 0, 2, 2, 0, 0, 2, 2], np.int64), mode=mode)
    y = m.conv(padded, (8, 8, 5, 5))
    model = m.build(y)
    found = compiled(model, precision="int8", calibration=m.feed(8))
    assert found.on_cpu() == []
    assert {layer.precision for layer in found.report.layers} == {"int8"}
    feed = m.feed()
    (have,), (want,) = found.run(feed), reference(model, feed)
    assert np.square(have - want).sum() < 1e-3 * np.square(want).sum()


@pytest.mark.parametrize(
    ("shape", "pads", "mode"),
    [
        ((1, 100), [0, 70, 0, 0], "edge"),
        ((1, 5), [0, -1, 0, 2], "reflect"),
        ((1, 200), [0, 65, 0, 0], "reflect"),
    ],
)
def test_what_would_be_many_slices_stays_on_the_host(shape, pads, mode):
    m, y = _padded(shape, pads, mode)
    model = m.build(y)
    assert expand_pads(infer(model), infer).graph.node[-1].op_type == "Pad"
    found, feed = compiled(model), m.feed()
    assert found.on_cpu() == ["Pad"]
    np.testing.assert_array_equal(found.run(feed)[0], reference(model, feed)[0])


def test_codes_and_indices_are_not_touched():
    x, y = (helper.make_tensor_value_info(n, TensorProto.INT64, s) for n, s in _OLD.items())
    node = helper.make_node("Pad", ["x"], ["y"], pads=[0, 0, 1, 2, 0, 0, 3, 0], mode="edge")
    graph = helper.make_graph([node], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 10)], ir_version=5)
    assert [n.op_type for n in expand_pads(infer(model), infer).graph.node] == ["Pad"]
