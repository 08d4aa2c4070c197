"""The same input gives the same bytes: again, in another process, with another hash seed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from maccel_aio._core._manifest import parse_manifest
from maccel_aio.compiler import QuantizeOptions, isa
from maccel_aio.compiler.container import pack
from tests.compiler.device import sections
from tests.compiler.families.harness import compiled
from tests.compiler.onnx_models import Model

ROOT = Path(__file__).resolve().parents[3]

WORKER = """
import sys
import numpy as np
import maccel_aio
model, samples, out = sys.argv[1:]
maccel_aio.compile(model, out, calibration=samples, name="m")
"""


def _network(seed: int = 0) -> tuple[Model, onnx.ModelProto]:
    """Return a model with joins, residuals, constants, a CPU part and two outputs."""
    m = Model({"x": (1, 4, 8, 8)}, seed=seed)
    t = m.add("Relu", m.conv("x", (8, 4, 3, 3), pads=[1] * 4))
    t = m.add("Add", m.conv(t, (8, 8, 3, 3), pads=[1] * 4), t)
    t = m.add("Concat", t, m.conv(t, (6, 8, 1, 1)), axis=1)
    host = m.add("CumSum", t, m.const(2, np.int64))
    return m, m.build(m.conv(host, (3, 14, 1, 1)), m.add("GlobalAveragePool", t))


def test_compiling_twice_gives_the_same_bytes():
    m, model = _network()
    data = m.feed(9)
    first, second = (compiled(model, calibration=data, name="m", measure=4) for _ in range(2))
    assert first.data == second.data
    assert first.report.layers == second.report.layers


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_another_process_with_another_hash_seed_gives_the_same_bytes(tmp_path, seed):
    m, model = _network()
    data = m.feed(9)
    onnx.save(model, tmp_path / "m.onnx")
    np.savez(tmp_path / "data.npz", x=data["x"])
    out = tmp_path / "other.mxq"
    command = [sys.executable, "-c", WORKER, *map(str, (tmp_path / "m.onnx", tmp_path / "data.npz", out))]  # fmt: skip  # noqa: E501
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, env=environment, check=True, timeout=50, capture_output=True)
    here = compiled(tmp_path / "m.onnx", calibration=data, name="m", measure=4)
    assert out.read_bytes() == here.data


def test_the_order_of_samples_and_shapes_does_not_matter():
    m = Model({"a": (1, 4), "b": (1, 4)})
    model = m.build(m.add("MatMul", m.add("Add", "a", "b"), m.random(4, 3)))
    data = m.feed(3)
    swapped = dict(reversed(data.items()))
    one, other = (compiled(model, calibration=d, name="m").data for d in (data, swapped))
    assert one == other


def test_the_model_that_was_given_is_not_changed():
    m, model = _network()
    before = model.SerializeToString(deterministic=True)
    small = {"x": np.ones((2, 1, 4, 6, 6), np.float32)}
    compiled(model, calibration=small, shapes={"x": (1, 4, 6, 6)})
    compiled(model, calibration=m.feed(3), quantize=QuantizeOptions(depthwise_bits=16))
    assert model.SerializeToString(deterministic=True) == before


def test_different_weights_give_different_files_and_digests():
    files = []
    for seed in (0, 1):
        _, model = _network(seed)
        files.append(compiled(model, calibration={"x": np.ones((2, 1, 4, 8, 8))}, name="m"))
    digests = [f.file.manifest["provenance"]["source_sha256"] for f in files]
    assert digests[0] != digests[1]
    assert files[0].data != files[1].data


def test_the_digest_is_that_of_the_file_that_was_read(tmp_path):
    _, model = _network()
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    found = compiled(path)
    want = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.file.manifest["provenance"]["source_sha256"] == want
    assert found.report.name == "m"


def test_files_are_read_back_as_they_were_packed():
    m, model = _network()
    data = compiled(model, calibration=m.feed(3)).data
    header = np.frombuffer(data, isa.FILE_HEADER, 1)[0]
    count = int(header["section_count"])
    table = np.frombuffer(data, isa.SECTION, count, int(header["table_offset"]))
    parts = sections(data)
    kinds = [isa.Section(int(entry["type"])) for entry in table]
    assert pack(list(zip(kinds, parts, strict=True))) == data
    assert kinds[0] is isa.Section.MANIFEST
    for entry, part in zip(table, parts, strict=True):
        assert int(entry["offset"]) % isa.ALIGN == 0
        assert entry["sha256"].tobytes() == hashlib.sha256(part).digest()
    assert len(data) == int(header["file_bytes"])


def test_every_section_is_used_once_and_known_to_the_runtime():
    m, model = _network()
    found = compiled(model, calibration=m.feed(3))
    parsed = parse_manifest(found.file.sections[0], len(found.file.sections))
    used = []
    for segment in found.file.variant["segments"]:
        used += [segment[key] for key in ("program", "consts", "onnx") if key in segment]
    assert sorted(used) == list(range(1, len(found.file.sections)))
    (variant,) = parsed.variants
    assert [spec.name for spec in variant.inputs] == ["x"]
    assert [segment.name for segment in variant.segments] == ["npu0", "cpu0", "npu1"]


def _numbers_and_text(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and _numbers_and_text(v) for k, v in value.items())
    if isinstance(value, list):
        return all(_numbers_and_text(v) for v in value)
    return value is None or type(value) in (str, int, float, bool)


def test_a_report_is_plain_json_with_a_row_per_layer():
    m, model = _network()
    report = compiled(model, calibration=m.feed(3), measure=2).report
    told = report.to_json()
    assert _numbers_and_text(told), told
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    rows = told["layers"]
    assert [row["index"] for row in rows] == list(range(len(rows)))
    keys = {
        "index", "name", "op", "where", "reason", "precision", "macs", "weight_bytes",
        "output_shape", "sqnr_device_db", "bands", "reads",
    }  # fmt: skip
    assert all(set(row) == keys for row in rows)
    assert {row["where"] for row in rows} == {"npu", "cpu"}
    assert all(bool(row["reason"]) == (row["where"] == "cpu") for row in rows)
    text = str(report)
    assert all(row["op"] in text for row in rows)
