"""The report: figures, JSON and the table."""

import json

import numpy as np
import pytest

from maccel_aio.compiler.report import CompileReport, LayerReport, sqnr_db, table_rows


def report() -> CompileReport:
    layers = (
        LayerReport(0, "stem", "Conv", macs=750_000, weight_bytes=100, sqnr_device_db=41.25),
        LayerReport(1, "nms", "Odd", "cpu", "not on the NPU", "cpu", macs=250_000),
    )
    return CompileReport(
        "net", "net.mxq", layers, {"y": 29.0}, 4096, 512, 20, {"write": 1.5}, ("hm",)
    )


def test_shares_are_weighted_by_macs() -> None:
    assert report().macs == 1_000_000
    assert report().npu_share == 0.75
    assert report().int8_share == 0.75
    assert CompileReport("n", "p").npu_share == 1.0


def test_json_round_trips_and_carries_totals() -> None:
    plain = json.loads(json.dumps(report().to_json()))
    assert plain["macs"] == 1_000_000
    assert plain["layers"][0]["sqnr_device_db"] == 41.25
    assert plain["output_sqnr_device_db"] == {"y": 29.0}
    assert plain["total_seconds"] == 1.5


def test_text_names_layers_reasons_and_figures() -> None:
    text = str(report())
    for words in ("stem", "cpu: not on the NPU", "41.2", "75.0% of them on the NPU", "warning: hm"):
        assert words in text


def test_the_table_has_a_row_per_layer_under_its_headings() -> None:
    rows = table_rows(report().layers)
    assert len(rows) == 3
    assert len({len(row) for row in rows}) == 1


def test_sqnr_of_a_tenth_of_noise_is_twenty_decibels() -> None:
    exact = np.ones(100)
    assert sqnr_db(exact, exact * 1.1) == pytest.approx(20.0)
    assert sqnr_db(exact, exact) == 200.0
    assert sqnr_db(np.zeros(3), np.zeros(3)) == 200.0
