"""Shapes that the model leaves open, that a caller gives, and that a file lies about."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import maccel_aio
import maccel_aio.sync
from maccel_aio.errors import CompileError, ShapeError
from tests.compiler.families.harness import assert_same, compiled, reference
from tests.compiler.onnx_models import Model


def _model(shape: Any, *, kernel: int = 3) -> onnx.ModelProto:
    m = Model({"x": shape})
    t = m.add("Relu", m.conv("x", (4, 3, kernel, kernel), pads=[kernel // 2] * 4))
    return m.build(t, m.add("Flatten", m.add("GlobalAveragePool", t)))


def _feed(*shape: int) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(1).normal(size=shape).astype(np.float32)}


@pytest.mark.parametrize("batch", ["N", None])
def test_a_symbolic_batch_becomes_a_batch_of_any_size(tmp_path, batch):
    model = _model((batch, 3, 6, 5))
    path = tmp_path / "m.mxq"
    maccel_aio.compile(model, path, precision="float32")
    with maccel_aio.sync.load(path) as loaded:
        for size in (1, 2, 5):
            feed = _feed(size, 3, 6, 5)
            for have, want in zip(loaded.infer(feed["x"]), reference(model, feed), strict=True):
                np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)
        single = _feed(1, 3, 6, 5)["x"][0]
        assert [out.shape for out in loaded.infer(single)] == [(4, 6, 5), (4,)]


def test_a_batch_of_four_is_part_of_the_model(tmp_path):
    model = _model((4, 3, 6, 5))
    path = tmp_path / "m.mxq"
    maccel_aio.compile(model, path, precision="float32")
    feed = _feed(4, 3, 6, 5)
    with maccel_aio.sync.load(path) as loaded:
        found = loaded.infer(feed["x"])
        for have, want in zip(found, reference(model, feed), strict=True):
            np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)
        for wrong in (feed["x"][:3], feed["x"][0]):
            with pytest.raises(ShapeError):
                loaded.infer(wrong)


def test_a_fixed_batch_in_int8():
    model = _model((4, 3, 6, 5))
    data = {"x": _feed(6, 4, 3, 6, 5)["x"]}
    found = compiled(model, calibration=data)
    feed = {"x": data["x"][0]}
    for have, want in zip(found.run(feed), reference(model, feed), strict=True):
        assert np.abs(have - want).max() < 0.03 * np.abs(want).max()


@pytest.mark.parametrize("size", [(1, 3, 4, 4), (1, 3, 9, 16), (2, 3, 6, 5), (1, 3, 1, 1)])
def test_a_given_shape_wins_over_symbols_and_numbers(size):
    for shape in (("N", 3, "h", "w"), (1, 3, 7, 7)):
        found = compiled(_model(shape), shapes={"x": size})
        assert found.file.variant["inputs"][0]["shape"] == list(size)
        feed = _feed(*size)
        assert_same(found.run(feed), reference(_model(size), feed))


def test_shapes_may_be_lists_or_numbers_of_numpy():
    for shape in ([1, 3, 5, 5], np.array([1, 3, 5, 5]), (np.int32(1), 3, 5, 5)):
        found = compiled(_model(("N", 3, "h", "w")), shapes={"x": shape})
        assert found.file.variant["inputs"][0]["shape"] == [1, 3, 5, 5]


def test_one_symbol_has_one_size():
    m = Model({"a": ("n", "len"), "b": ("n", "len")})  # type: ignore[dict-item]
    model = m.build(m.add("Add", "a", "b"))
    found = compiled(model, shapes={"a": (1, 7)})
    assert [e["shape"] for e in found.file.variant["inputs"]] == [[1, 7], [1, 7]]


def test_open_sizes_are_shown_with_their_names():
    with pytest.raises(CompileError, match=r"'x' has shape Nx3xhxw: give its sizes \(x=1x3x224"):
        compiled(_model(("N", 3, "h", "w")))


def test_a_file_that_lies_about_inner_shapes_is_corrected_by_a_given_one():
    model = _model((1, 3, 6, 5))
    for output in model.graph.output:
        for dim in output.type.tensor_type.shape.dim:
            dim.dim_value = 77
    found = compiled(model, shapes={"x": (1, 3, 8, 8)})
    assert found.file.variant["outputs"][0]["shape"] == [1, 4, 8, 8]
    feed = _feed(1, 3, 8, 8)
    assert [out.shape for out in found.run(feed)] == [(1, 4, 8, 8), (1, 4)]


def test_a_shape_that_the_graph_computes_itself():
    m = Model({"x": ("N", 3, 6, 6)})  # type: ignore[dict-item]
    t = m.conv("x", (4, 3, 3, 3))
    size = m.add("Gather", m.add("Shape", "x"), m.const([0], np.int64))
    t = m.add("Reshape", t, m.add("Concat", size, m.const([-1], np.int64), axis=0))
    model = m.build(m.add("MatMul", t, m.random(64, 5)))
    found = compiled(model)
    assert found.on_cpu() == []
    feed = _feed(1, 3, 6, 6)
    assert_same(found.run(feed), reference(model, feed))


def test_weights_that_are_listed_as_inputs_are_none():
    """Files of operator sets below 9 did so; some exporters still do."""
    m = Model({"x": (1, 3, 6, 6)})
    model = m.build(m.conv("x", (4, 3, 3, 3)))
    for weight in list(model.graph.initializer):
        info = helper.make_tensor_value_info(weight.name, TensorProto.FLOAT, list(weight.dims))
        model.graph.input.append(info)
    found = compiled(model)
    assert [e["name"] for e in found.file.variant["inputs"]] == ["x"]
    feed = _feed(1, 3, 6, 6)
    assert_same(found.run(feed), reference(model, feed))


# ---- cubes: arrays that are HWC and CHW at once


def _cube() -> onnx.ModelProto:
    m = Model({"x": (1, 8, 8, 8)})
    return m.build(m.conv("x", (5, 8, 3, 3)))


def test_a_cubic_image_is_read_as_hwc_like_every_image_that_fits_both(tmp_path):
    """The rule of the vendor: HWC wins. A file cannot know better than the caller."""
    model = _cube()
    path = tmp_path / "m.mxq"
    maccel_aio.compile(model, path, precision="float32")
    image = _feed(8, 8, 8)["x"]
    (want,) = reference(model, {"x": image.transpose(2, 0, 1)[None]})
    with maccel_aio.sync.load(path) as loaded:
        (have,) = loaded.infer(image)
    assert have.shape == (6, 6, 5)
    np.testing.assert_allclose(have, want[0].transpose(1, 2, 0), rtol=1e-4, atol=1e-5)


def test_the_documentation_says_which_layout_wins():
    for model in (maccel_aio.Model, maccel_aio.sync.Model):
        text = " ".join(str(model.infer.__doc__).split())
        assert "HWC wins" in text


def test_a_cubic_tensor_that_is_no_image_keeps_its_order(tmp_path):
    m = Model({"x": (1, 8, 8, 8)})
    model = m.build(m.add("MatMul", "x", m.random(8, 3)))
    path = tmp_path / "m.mxq"
    maccel_aio.compile(model, path, precision="float32")
    feed = _feed(1, 8, 8, 8)
    with maccel_aio.sync.load(path) as loaded:
        (have,) = loaded.infer(feed["x"])
    np.testing.assert_allclose(have, reference(model, feed)[0], rtol=1e-4, atol=1e-5)


def test_the_other_layout_is_clear_when_sizes_differ(tmp_path):
    m = Model({"x": (1, 8, 8, 7)})
    model = m.build(m.conv("x", (5, 8, 3, 3)))
    path = tmp_path / "m.mxq"
    maccel_aio.compile(model, path, precision="float32")
    feed = _feed(1, 8, 8, 7)
    (want,) = reference(model, feed)
    with maccel_aio.sync.load(path) as loaded:
        (first,) = loaded.infer(feed["x"])
        (second,) = loaded.infer(feed["x"].transpose(0, 2, 3, 1))
    np.testing.assert_allclose(first, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(second, want.transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-5)


def _pair(op: str, *shapes: tuple[Any, ...]) -> onnx.ModelProto:
    m = Model(dict(zip("ab", shapes, strict=True)))
    return m.build(m.add(op, "a", "b"))


def test_sizes_that_contradict_each_other_are_refused_by_name():
    model = _pair("Add", (1, "L"), (1, "L"))
    wanted = "dimension 'L' is 7 in 'a' and 8 in 'b': the shapes do not fit"
    with pytest.raises(CompileError, match=wanted):
        compiled(model, shapes={"a": (1, 7), "b": (1, 8)})
    wanted = "dimension 'L' is 8 in 'b' and 7 in 'a'"
    with pytest.raises(CompileError, match=wanted):
        compiled(model, shapes={"a": (1, 7)}, constants={"b": np.zeros((1, 8), np.float32)})


def test_one_name_of_dimensions_that_have_nothing_to_do_with_each_other():
    model = _pair("MatMul", (2, "n"), ("n", "n"))
    found = compiled(model, shapes={"a": (2, 3), "b": (3, 5)})
    feed = {"a": np.ones((2, 3), np.float32), "b": np.ones((3, 5), np.float32)}
    assert found.run(feed)[0].tolist() == [[3.0] * 5] * 2


def test_a_constant_binds_the_sizes_of_the_other_inputs():
    found = compiled(_pair("Add", (1, "L"), (1, "L")), constants={"b": np.ones((1, 8), np.float32)})
    assert found.run({"a": np.ones((1, 8), np.float32)})[0].tolist() == [[2.0] * 8]
