"""Calibration runs that are kept and found again."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest

import maccel_aio
from maccel_aio.compiler import calibration_cache
from maccel_aio.compiler.calibration import TensorStats
from maccel_aio.compiler.calibration_cache import default_folder, load, run_key, store
from tests.compiler.onnx_models import Model


def network() -> tuple[Model, onnx.ModelProto]:
    m = Model({"x": (1, 4, 8, 8)})
    t = m.add("Relu", m.conv("x", (8, 4, 3, 3), pads=[1] * 4))
    return m, m.build(m.conv(t, (4, 8, 1, 1)))


def stats(seed: int) -> dict[str, TensorStats]:
    rng = np.random.default_rng(seed)

    def values(*shape: int) -> list[np.ndarray]:
        return [rng.standard_normal(shape).astype(np.float32) for _ in range(3)]

    return {
        "a": TensorStats(1, values(4), values(4), values(4), values(6, 4)),
        "b/é": TensorStats(0, values(1), values(1), values(1)),
    }


def same(one: dict[str, TensorStats], other: dict[str, TensorStats]) -> bool:
    assert list(one) == list(other)
    return all(
        x.axis == y.axis
        and all(
            len(getattr(x, part)) == len(getattr(y, part))
            and all(map(np.array_equal, getattr(x, part), getattr(y, part)))
            for part in ("minimum", "maximum", "mean", "rows")
        )
        for x, y in zip(one.values(), other.values(), strict=True)
    )


def test_what_is_kept_comes_back_to_the_bit(tmp_path: Path) -> None:
    assert load(tmp_path / "none", "k") is None
    store(tmp_path / "new", "k", stats(1))
    found = load(tmp_path / "new", "k")
    assert found is not None
    assert same(found, stats(1))
    assert not same(found, stats(2))


def test_a_key_is_of_model_samples_and_what_is_asked() -> None:
    _, model = network()
    other = onnx.ModelProto()
    other.CopyFrom(model)
    other.graph.node[0].attribute[0].ints[0] += 1
    x = np.zeros((1, 4, 8, 8), np.float32)
    y = x.copy()
    y[0, 0, 0, 0] = 1e-30
    asked = (["x", "t0"], {"t0": 1}, {"t0"})
    keys = [
        run_key(model, [{"x": x}], *asked),
        run_key(other, [{"x": x}], *asked),
        run_key(model, [{"x": y}], *asked),
        run_key(model, [{"x": x}, {"x": x}], *asked),
        run_key(model, [{"x": x.astype(np.float64)}], *asked),
        run_key(model, [{"x": x}], ["x"], {"t0": 1}, {"t0"}),
        run_key(model, [{"x": x}], ["x", "t0"], {"t0": 0}, {"t0"}),
        run_key(model, [{"x": x}], ["x", "t0"], {"t0": 1}, set()),
    ]
    assert len(set(keys)) == len(keys)
    assert run_key(model, [{"x": x.copy()}], *asked) == keys[0]


@pytest.mark.parametrize("library", ["maccel_aio", "onnxruntime"])
def test_another_version_runs_the_model_again(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, model = network()
    samples = [{"x": np.zeros((1, 4, 8, 8), np.float32)}]
    before = run_key(model, samples, ["x"], {}, ())
    monkeypatch.setattr(f"{library}.__version__", "0.0.1")
    assert run_key(model, samples, ["x"], {}, ()) != before


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 half", None])
def test_a_damaged_run_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    store(tmp_path, "k", stats(1))
    path = tmp_path / "k.npz"
    path.write_bytes(path.read_bytes()[:-40] if damage is None else damage)
    assert load(tmp_path, "k") is None
    store(tmp_path, "k", stats(1))
    assert load(tmp_path, "k") is not None


def test_what_was_used_longest_ago_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration_cache, "_KEPT", 2)
    for k, name in enumerate(("a", "b")):
        store(tmp_path, name, stats(k))
        os.utime(tmp_path / f"{name}.npz", (k + 1, k + 1))
    assert load(tmp_path, "a") is not None  # now the newest
    store(tmp_path, "c", stats(3))
    assert {path.stem for path in tmp_path.iterdir()} == {"a", "c"}


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store(tmp_path / "file", "k", stats(1))
    assert load(tmp_path / "file", "k") is None


def test_the_compiled_file_is_the_same_with_a_kept_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    m, model = network()
    feed, folder, out = m.feed(20), tmp_path / "cache", tmp_path / "m.mxq"
    files = []
    for cache in (None, folder, folder):
        maccel_aio.compile(model, out, calibration=feed, cache=cache)
        files.append(out.read_bytes())
    assert files[0] == files[1] == files[2]
    assert len(list(folder.iterdir())) == 1

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the kept run was not used")

    monkeypatch.setattr("maccel_aio.compiler.numeric.collect", never)
    maccel_aio.compile(model, out, calibration=feed, cache=folder)
    assert out.read_bytes() == files[0]


def test_the_folder_is_beside_the_other_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MACCEL_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/calibration")
    monkeypatch.delenv("MACCEL_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert default_folder() == Path("/caches/maccel_aio/calibration")
