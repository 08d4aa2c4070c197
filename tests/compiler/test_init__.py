"""`maccel_aio.compile` from the outside: files, reports, options and errors."""

import json

import numpy as np
import onnx
import pytest
from PIL import Image

import maccel_aio
from maccel_aio._core._manifest import parse_manifest
from maccel_aio._maccel_cffi import ffi, lib
from maccel_aio.errors import CompileError
from tests.compiler.device import File, sections
from tests.compiler.onnx_models import Model

IMAGE = (1, 3, 16, 20)


def _classifier() -> tuple[Model, onnx.ModelProto]:
    m = Model({"x": IMAGE})
    t = m.add("Relu", m.conv("x", (16, 3, 3, 3), strides=[2, 2], pads=[1] * 4))
    t = m.add("Add", m.conv(t, (16, 16, 3, 3), pads=[1] * 4), t)
    t = m.add("Flatten", m.add("GlobalAveragePool", t))
    return m, m.build(m.add("Gemm", t, m.random(10, 16), m.random(10), transB=1))


def test_the_report_and_the_manifest_tell_the_same(tmp_path):
    m, model = _classifier()
    path = tmp_path / "small.mxq"
    report = maccel_aio.compile(model, path, calibration=m.feed(8), name="small")
    data = path.read_bytes()
    manifest = parse_manifest(sections(data)[0], len(sections(data)))
    assert manifest.name == report.name == "small"
    assert report.file_bytes == len(data)
    assert report.path == str(path)
    assert report.samples >= 8
    assert [row.name for row in manifest.layers] == [row.name for row in report.layers]
    assert report.macs == sum(row.macs for row in manifest.layers) > 0
    assert report.npu_share == report.int8_share == 1.0
    (variant,) = manifest.variants
    assert variant.inputs[0].layout == "NCHW"
    assert variant.inputs[0].batch_axis == 0
    assert variant.outputs[0].layout == "ND"
    assert manifest.provenance["calibration"]["samples"] == report.samples
    assert len(manifest.provenance["source_sha256"]) == 64


def test_the_same_model_gives_the_same_bytes(tmp_path):
    m, model = _classifier()
    samples = m.feed(4)
    for name in ("a.mxq", "b.mxq"):
        maccel_aio.compile(model, tmp_path / name, calibration=samples, name="m")
    assert (tmp_path / "a.mxq").read_bytes() == (tmp_path / "b.mxq").read_bytes()


def test_programs_pass_the_verifier(tmp_path):
    m, model = _classifier()
    maccel_aio.compile(model, tmp_path / "m.mxq", calibration=m.feed(4))
    _, program, consts = sections((tmp_path / "m.mxq").read_bytes())
    data = ffi.from_buffer(program), ffi.from_buffer(consts)
    assert lib.maccel_program_verify(data[0], len(program), data[1], len(consts)) == 0


def test_int8_needs_calibration(tmp_path):
    _, model = _classifier()
    with pytest.raises(CompileError, match="calibration"):
        maccel_aio.compile(model, tmp_path / "m.mxq")
    assert not list(tmp_path.iterdir())


def test_an_unknown_precision_is_refused(tmp_path):
    _, model = _classifier()
    with pytest.raises(CompileError, match="int4"):
        maccel_aio.compile(model, tmp_path / "m.mxq", precision="int4")


def test_progress_goes_through_all_steps(tmp_path):
    m, model = _classifier()
    told: list[tuple[str, int, int]] = []
    maccel_aio.compile(
        model, tmp_path / "m.mxq", calibration=m.feed(4), progress=lambda *a: told.append(a)
    )
    assert list(dict.fromkeys(step for step, _, _ in told))[:2] == ["import", "calibrate"]
    assert told[-1][1] == told[-1][2]
    assert all(0 <= done <= total for _, done, total in told)


def test_pixels_go_through_a_table_per_channel(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(3):
        pixels = rng.integers(0, 256, (24, 30, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{k}.png")
    _, model = _classifier()
    mean, std = [120, 110, 100], [60, 50, 55]
    how = {"mean": mean, "std": std, "channels": "RGB"}
    maccel_aio.compile(model, tmp_path / "m.mxq", calibration=tmp_path, preprocess=how)
    file = File((tmp_path / "m.mxq").read_bytes())
    entry = file.variant["inputs"][0]
    assert entry["preprocess"]["mean"] == [120, 110, 100]
    assert entry["device_dtype"] == "uint8"
    pixels = rng.integers(0, 256, IMAGE, np.uint8)
    values = (pixels - np.reshape(mean, (1, 3, 1, 1))) / np.reshape(std, (1, 3, 1, 1))
    values = values.astype(np.float32)
    (from_pixels,), (from_values,) = file.run({"x": pixels}), file.run({"x": values})
    np.testing.assert_allclose(from_pixels, from_values, rtol=0.02, atol=0.02)


def test_cpu_segments_run_between_bundles_and_the_report_says_why(tmp_path):
    m = Model({"x": (1, 4, 6, 6)})
    t = m.add("CumSum", m.conv("x", (4, 4, 1, 1)), m.const(2, np.int64))
    model = m.build(m.conv(t, (2, 4, 1, 1)))
    report = maccel_aio.compile(model, tmp_path / "m.mxq", calibration=m.feed(4))
    file = File((tmp_path / "m.mxq").read_bytes())
    kinds = [s["kind"] for s in file.variant["segments"]]
    assert kinds == ["npu", "cpu", "npu"]
    assert file.variant["segments"][1]["reason"] == "operator CumSum is not on the NPU"
    (row,) = [row for row in report.layers if row.where == "cpu"]
    assert (row.op, row.precision) == ("CumSum", "cpu")
    assert sum(row.where == "npu" and row.macs > 0 for row in report.layers) == 2


def test_work_of_the_cpu_is_no_work_of_the_npu(tmp_path):
    m = Model({"x": (1, 4, 6, 6), "w": (4, 4, 1, 1)})
    model = m.build(m.add("Conv", "x", "w"))
    report = maccel_aio.compile(model, tmp_path / "m.mxq")
    assert [row.where for row in report.layers] == ["cpu"]


def test_views_at_the_end_stay_with_the_cpu(tmp_path):
    m = Model({"x": (1, 4, 6, 6)})
    t = m.add("Reshape", m.add("CumSum", "x", m.const(2, np.int64)), m.const([4, 36], np.int64))
    maccel_aio.compile(m.build(t), tmp_path / "m.mxq")
    file = File((tmp_path / "m.mxq").read_bytes())
    assert [s["kind"] for s in file.variant["segments"]] == ["cpu"]


def test_a_model_without_outputs_of_its_own_is_refused(tmp_path):
    m = Model({"x": (2, 3)})
    m.add("Relu", "x")
    with pytest.raises(CompileError, match="no outputs but its inputs"):
        maccel_aio.compile(m.build("x"), tmp_path / "m.mxq", precision="float32")


def test_a_file_is_little_larger_than_its_weights(tmp_path):
    m = Model({"x": (1, 32, 8, 8)})
    t = "x"
    for _ in range(6):
        t = m.add("Relu", m.conv(t, (128, 32 if t == "x" else 128, 3, 3), pads=[1] * 4))
    report = maccel_aio.compile(m.build(t), tmp_path / "m.mxq", calibration=m.feed(2))
    weights = 9 * 128 * (32 + 5 * 128)
    assert report.file_bytes <= 1.15 * weights


def test_the_manifest_has_no_spaces(tmp_path):
    m, model = _classifier()
    maccel_aio.compile(model, tmp_path / "m.mxq", calibration=m.feed(2), name="m")
    text = sections((tmp_path / "m.mxq").read_bytes())[0].decode()
    assert text == json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)
