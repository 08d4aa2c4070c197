"""What ``maccel-aio compile`` prints."""

import pytest

from maccel_aio.cli._compile_table import show
from maccel_aio.cli._console import Console
from maccel_aio.compiler.report import CompileReport, LayerReport
from maccel_aio.compiler.search import SearchReport


def test_the_report_is_shown_with_reasons_and_figures(capsys: pytest.CaptureFixture[str]) -> None:
    layers = (
        LayerReport(0, "stem", "Conv", macs=2_000_000, weight_bytes=900, sqnr_device_db=12.5),
        LayerReport(1, "odd", "NonMaxSuppression", "cpu", "not on the NPU", "cpu"),
    )
    report = CompileReport(
        "net", "net.mxq", layers, {"y": 24.5}, 4096, 2_000_000, 32, {"write": 0.5}, ("careful",)
    )
    show(report, Console())
    text = capsys.readouterr().out
    for words in (
        "stem",
        "12.5",
        "CPU: not on the NPU",
        "2.0 M",
        "24.5 dB",
        "32 samples",
        "careful",
    ):
        assert words in text


def test_the_search_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    search = SearchReport(True, 31.5, (31.5, 40.0), 0.062, ("a", "b"), {"a": 0.7, "b": 0.3}, 19)
    show(CompileReport("net", "net.mxq", search=search), Console())
    out = capsys.readouterr().out
    assert "31.5" in out
    assert "6.2%" in out
    assert "a 70%, b 30%" in out
