"""One file for several sets of shapes: the arrays of a call choose."""

import numpy as np
import onnx
import pytest

import maccel_aio
import maccel_aio.sync
from maccel_aio.compiler import container
from maccel_aio.compiler.isa import Section
from maccel_aio.compiler.variants import compile_variants, merge
from maccel_aio.errors import CompileError
from tests.compiler.families.harness import reference
from tests.compiler.onnx_models import Model

SIZES = [(1, 3, 8, 8), (1, 3, 12, 6)]


def _model():
    m = Model({"x": (1, 3, "h", "w")})  # type: ignore[dict-item]
    t = m.add("Relu", m.conv("x", (6, 3, 3, 3), pads=[1] * 4))
    return m.build(m.add("ReduceMean", t, axes=[2, 3], keepdims=0))


def _expected(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return reference(model, {"x": x})[0]


def test_the_arrays_choose_the_variant(tmp_path):
    model, rng = _model(), np.random.default_rng(3)
    shapes = [{"x": size} for size in (*SIZES, (1, 3, -1, -1))]
    path = tmp_path / "m.mxq"
    reports = compile_variants(model, path, shapes, precision="float32")
    assert [report.layers[0].where for report in reports] == ["npu", "npu", "cpu"]
    assert {(r.path, r.file_bytes) for r in reports} == {(str(path), path.stat().st_size)}
    with maccel_aio.sync.load(path) as loaded:
        assert (loaded.manifest.name, len(loaded.manifest.variants)) == ("m", 3)
        for size in (*SIZES, (1, 3, 5, 21), (1, 3, 8, 9)):
            x = rng.standard_normal(size).astype(np.float32)
            np.testing.assert_allclose(loaded.infer(x)[0], _expected(model, x), atol=1e-5)
        with pytest.raises(maccel_aio.ShapeError, match=r"any"):
            loaded.infer(np.zeros((1, 4, 8, 8), np.float32))


def test_compile_takes_variants_and_reports_on_each(tmp_path):
    model, path = _model(), tmp_path / "m.mxq"
    report = maccel_aio.compile(
        model, path, variants=[{"x": size} for size in SIZES], precision="float32"
    )
    assert [one.layers[0].output_shape for one in report.variants] == [
        (1, 6, *s[2:]) for s in SIZES
    ]
    assert report.layers == report.variants[0].layers
    assert (report.path, report.file_bytes) == (str(path), path.stat().st_size)
    assert str(report).count("multiply-accumulates") == 2
    assert len(report.to_json()["variants"]) == 2
    with maccel_aio.sync.load(path) as loaded:
        for size in SIZES:
            x = np.random.default_rng(3).standard_normal(size).astype(np.float32)
            np.testing.assert_allclose(loaded.infer(x)[0], _expected(model, x), atol=1e-5)


def test_shapes_hold_for_all_variants(tmp_path):
    m = Model({"a": (1, "n"), "b": (1, "k")})  # type: ignore[dict-item]
    model, path = m.build(m.add("Concat", "a", "b", axis=1)), tmp_path / "m.mxq"
    maccel_aio.compile(
        model, path, shapes={"b": (1, 2)}, variants=[{"a": (1, 3)}, {"a": (1, 5)}],
        precision="float32",
    )  # fmt: skip
    with maccel_aio.sync.load(path) as loaded:
        for n in (3, 5):
            found = loaded.infer([np.ones((1, n), np.float32), np.zeros((1, 2), np.float32)])
            assert found[0].tolist() == [[1.0] * n + [0.0] * 2]


def test_several_sources_of_calibration_need_variants(tmp_path):
    with pytest.raises(CompileError, match="as many variants"):
        maccel_aio.compile(_model(), tmp_path / "m.mxq", calibration=[{}, {}])


def test_every_variant_has_its_own_calibration(tmp_path):
    model, rng = _model(), np.random.default_rng(3)
    data = [{"x": rng.standard_normal((4, *size)).astype(np.float32)} for size in SIZES]
    shapes = [{"x": size} for size in SIZES]
    path = tmp_path / "m.mxq"
    compile_variants(model, path, shapes, calibration=data, measure=0)
    with maccel_aio.sync.load(path) as loaded:
        for one in data:
            want = _expected(model, one["x"][0])
            assert np.abs(loaded.infer(one["x"][0])[0] - want).max() < 0.05 * np.abs(want).max()


def test_one_calibration_serves_a_variant_of_variable_lengths_too(tmp_path):
    model, rng = _model(), np.random.default_rng(3)
    data = {"x": rng.standard_normal((4, *SIZES[0])).astype(np.float32)}
    path = tmp_path / "m.mxq"
    shapes = [{"x": SIZES[0]}, {"x": (1, 3, -1, -1)}]
    reports = compile_variants(model, path, shapes, calibration=data)
    assert [report.layers[0].precision for report in reports] == ["int8", "cpu"]
    assert [report.samples for report in reports] == [4, 0]
    with maccel_aio.sync.load(path) as loaded:
        x = rng.standard_normal((1, 3, 9, 7)).astype(np.float32)
        np.testing.assert_allclose(loaded.infer(x)[0], _expected(model, x), atol=1e-5)


def test_variants_that_are_none_or_alike_are_refused(tmp_path):
    path = tmp_path / "m.mxq"
    with pytest.raises(CompileError, match="0 variants"):
        compile_variants(_model(), path, [])
    with pytest.raises(CompileError, match="2 variants and 1 sources"):
        compile_variants(_model(), path, [{"x": size} for size in SIZES], calibration=[None])
    with pytest.raises(CompileError, match="two variants have the shapes"):
        compile_variants(_model(), path, [{"x": SIZES[0]}] * 2, precision="float32")
    assert not path.exists()


def test_equal_sections_are_kept_once(tmp_path):
    path = tmp_path / "m.mxq"
    maccel_aio.compile(_model(), path, shapes={"x": SIZES[0]}, precision="float32")
    one = path.read_bytes()
    maccel_aio.compile(_model(), path, shapes={"x": SIZES[1]}, precision="float32")
    parts = container.unpack(merge([one, path.read_bytes()]))
    kinds = [kind for kind, _ in parts]
    assert kinds.count(Section.CONSTS) <= kinds.count(Section.PROGRAM) == 2
    assert container.pack(container.unpack(one)) == one
