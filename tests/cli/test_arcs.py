"""The picture of a graph."""

from xml.etree import ElementTree

import pytest

from maccel_aio.cli._arcs import arcs
from maccel_aio.compiler.report import LayerReport

LAYERS = (
    LayerReport(0, "stem <1>", "Conv", macs=100),
    LayerReport(1, "b", "Conv", macs=400, reads=(0,), precision="int16", sqnr_device_db=20.5),
    LayerReport(2, "sum", "Add", reads=(0, 1), precision="float32"),
)


def drawn(
    seconds: dict[int, float], layers: tuple[LayerReport, ...] = LAYERS
) -> ElementTree.Element:
    return ElementTree.fromstring(arcs(layers, seconds))


def test_every_layer_is_a_dot_and_every_reading_an_edge() -> None:
    picture = drawn({})
    dots, edges = picture.findall("circle"), picture.findall("path")
    assert [dot.get("class") for dot in dots] == ["node int8", "node int16", "node float32"]
    assert len(edges) == 3
    assert sum("C" in str(edge.get("d")) for edge in edges) == 1
    assert dots[0].findtext("title") == "#0 stem <1>: Conv, int8"
    assert str(dots[1].findtext("title")).endswith("20.5 dB")


def test_area_is_time_or_else_work() -> None:
    by_work = [float(str(dot.get("r"))) for dot in drawn({}).findall("circle")]
    by_time = [float(str(dot.get("r"))) for dot in drawn({0: 9.0, 1: 1.0}).findall("circle")]
    assert by_work[1] > by_work[0] > by_work[2]
    assert by_time[0] > by_time[1] > by_time[2]


@pytest.mark.parametrize("count", [0, 1])
def test_the_smallest_graphs_are_drawn_too(count: int) -> None:
    assert len(drawn({}, LAYERS[:count]).findall("circle")) == count
