"""``maccel-aio compile``: its arguments and what it prints."""

from typing import Any

import pytest

from maccel_aio.cli._console import Console
from maccel_aio.cli.compile import parse_preprocess, parse_shapes, show
from maccel_aio.compiler.report import CompileReport, LayerReport
from maccel_aio.errors import InvalidError


def test_shapes_are_read_by_name() -> None:
    found = parse_shapes(["input.1=1x3x480x640", "a=b=7"])
    assert found == {"input.1": (1, 3, 480, 640), "a=b": (7,)}


@pytest.mark.parametrize("text", ["x", "x=", "=1x2", "x=1x0", "x=1xa", "x=-1x2"])
def test_shapes_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="--shape"):
        parse_shapes([text])


def test_a_shape_given_twice_is_refused() -> None:
    with pytest.raises(InvalidError, match="twice"):
        parse_shapes(["x=1", "x=2"])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "mean=127,std=128,channels=RGB",
            {"mean": 127.0, "std": 128.0, "channels": "RGB"},
        ),
        (
            "mean=1,2,3,std=4.5,channels=bgr",
            {"mean": [1.0, 2.0, 3.0], "std": 4.5, "channels": "bgr"},
        ),
        ("crop=1", {"crop": 1.0}),
    ],
)
def test_preprocessing_is_read(text: str, wanted: dict[str, Any]) -> None:
    assert parse_preprocess(text) == wanted


@pytest.mark.parametrize("text", ["127", "mean=a", "mean=", "mean=1,,2"])
def test_preprocessing_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="--preprocess"):
        parse_preprocess(text)


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
