"""The page of a compilation: whole, alone, and safe whatever layers are called."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import maccel_aio
from maccel_aio.cli import main
from maccel_aio.cli._compile_page import page
from maccel_aio.cli._layer_costs import LayerCost, layer_costs
from maccel_aio.compiler.report import CompileReport, LayerReport
from maccel_aio.compiler.target import SearchReport
from tests.cli.test_report import Page
from tests.compiler.onnx_models import Model

LAYERS = (
    LayerReport(0, "stem <b>", "Conv", macs=2_000_000, weight_bytes=900, sqnr_device_db=40.0),
    LayerReport(1, "noisy", "Conv", macs=1_000_000, sqnr_device_db=12.5, reads=(0,)),
    LayerReport(2, "odd", "NonMaxSuppression", "cpu", "not on the NPU", "cpu", reads=(1,)),
)


def parsed(report: CompileReport, costs: dict[int, LayerCost]) -> Page:
    found = Page()
    found.feed(page(report, costs))
    assert not found.open
    return found


def report(**more: Any) -> CompileReport:
    return CompileReport("net & co", "net.mxq", LAYERS, {"y": 24.5}, 4096, 2_000_000, 32, **more)


def test_every_layer_has_its_noise_precision_time_and_memory() -> None:
    costs = {0: LayerCost(3e-4, 5000), 1: LayerCost(1e-4, 7000)}
    words = " ".join(parsed(report(warnings=("careful",)), costs).words)
    for text in ("stem <b>", "net & co", "12.5", "300.0 us", "75.0%", "5.0 KB", "not on the NPU",
                 "careful", "24.5 dB"):  # fmt: skip
        assert text in words


def test_the_page_loads_nothing() -> None:
    tags = parsed(report(), {}).tags
    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe"}
    assert not any(name in ("src", "href") for _, attrs in tags for name in attrs)


def test_what_costs_accuracy_is_named() -> None:
    search = SearchReport(
        True, 31.0, (31.0,), 0.1, ("t7",), {"t7": 0.8, "t9": 0.2}, 40, readers={"t7": ("noisy",)}
    )
    found = report(search=search)
    assert [layer.name for layer in found.dearest()] == ["noisy", "stem <b>"]
    words = " ".join(parsed(found, {}).words)
    assert "t7: 80.0% of all noise, read by noisy" in words
    assert "t9: 20.0% of all noise, read by no layer with weights" in words


def test_the_command_writes_the_page_of_what_it_compiled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], own_calibration_cache: Path
) -> None:
    m = Model({"x": (1, 3, 8, 8)})
    t = m.add("Relu", m.conv("x", (8, 3, 3, 3), pads=[1] * 4))
    model = m.build(m.add("Add", m.conv(t, (8, 8, 1, 1)), t))
    onnx.save(model, tmp_path / "m.onnx")
    arrays: dict[str, Any] = m.feed(8)
    np.savez(tmp_path / "d.npz", **arrays)
    paths = [str(tmp_path / name) for name in ("m.onnx", "m.mxq", "d.npz", "r.html")]
    real, out, data, html = paths
    assert main(["compile", real, "-o", out, "--calibration", data, "--report", html]) == 0
    assert html in capsys.readouterr().out
    assert len(list(own_calibration_cache.iterdir())) == 1
    layers = maccel_aio.read_manifest(out).layers
    found = Page()
    found.feed(Path(html).read_text(encoding="utf-8"))
    assert all(layer.name in " ".join(found.words) for layer in layers)
    assert sum(tag == "circle" for tag, _ in found.tags) == len(layers)
    costs = layer_costs(tmp_path / "m.mxq")
    assert set(costs) <= {layer.number for layer in layers}
    assert all(cost.seconds > 0 and cost.bytes_moved > 0 for cost in costs.values())


def test_nothing_is_kept_without_a_cache(tmp_path: Path, own_calibration_cache: Path) -> None:
    m = Model({"x": (1, 3, 8, 8)})
    onnx.save(m.build(m.conv("x", (4, 3, 3, 3))), tmp_path / "m.onnx")
    arrays: dict[str, Any] = m.feed(8)
    np.savez(tmp_path / "d.npz", **arrays)
    real, out, data = (str(tmp_path / name) for name in ("m.onnx", "m.mxq", "d.npz"))
    assert main(["compile", real, "-o", out, "--calibration", data, "--no-cache"]) == 0
    assert not list(own_calibration_cache.iterdir())
