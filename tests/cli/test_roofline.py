"""The roofline: a picture that parses, with every layer at the place of its figures."""

import math
from xml.etree import ElementTree

import pytest

from maccel_aio.cli._layers import layer_figures
from maccel_aio.cli._roofline import Axes, roofline
from tests.cli.test_layers import PEAKS, manifest, time_of


def figures(*times):
    return layer_figures([times], manifest(*["int8"] * len(times)), PEAKS)


def parts(picture, tag, kind=""):
    root = ElementTree.fromstring(picture)
    return [one for one in root.iter(tag) if one.get("class", "").startswith(kind)]


def test_a_dot_per_layer_with_work_and_its_title():
    made = figures(time_of(0, 10, 1_000_000), time_of(1, 30), time_of(2, 60, 500, 900_000))
    picture = roofline(made, PEAKS)
    dots = parts(picture, "circle", "dot")
    titles = [dot.findtext("title") or "" for dot in dots]
    assert [title.split("\n")[0] for title in titles] == [
        "#2 layer 2 (Conv, int8)",
        "#0 layer 0 (Conv, int8)",
    ]
    assert dots[0].get("class") == "dot l2"
    assert dots[1].get("class") == "dot compute"


def test_the_area_of_a_dot_is_its_share():
    picture = roofline(figures(time_of(0, 80, 10_000), time_of(1, 20, 10_000)), PEAKS)
    big, small = (float(dot.get("r", "0")) for dot in parts(picture, "circle"))
    assert big / small == pytest.approx(2, rel=0.01)


def test_every_dot_lies_inside_and_where_it_belongs():
    made = figures(time_of(0, 10, 1_000_000, 10_000), time_of(1, 9000, 70, 20_000_000))
    axes = Axes.around(made, PEAKS)
    low, high = axes.x(made[1].intensity), axes.x(made[0].intensity)
    assert axes.x(math.sqrt(made[0].intensity * made[1].intensity)) == pytest.approx(
        (low + high) / 2
    )
    for dot in parts(roofline(made, PEAKS), "circle"):
        assert 64 < float(dot.get("cx", "0")) < 940
        assert 18 < float(dot.get("cy", "0")) < 512


def test_every_roof_is_drawn_and_named():
    picture = roofline(figures(time_of(0, 10, 1_000_000)), PEAKS)
    assert len(parts(picture, "path", "roof")) == 5
    text = " ".join(one.text or "" for one in parts(picture, "text", "label"))
    for name in ("L2 100 GB/s", "L3 50 GB/s", "DRAM 20 GB/s", "int8 peak 400", "float32 peak 100"):
        assert name in text


def test_names_cannot_break_the_picture():
    made = [one._replace(name='<b>&"') for one in figures(time_of(0, 10, 1000))]
    (dot,) = parts(roofline(made, PEAKS), "circle")
    assert '<b>&"' in (dot.findtext("title") or "")


def test_a_model_without_work_has_an_empty_picture():
    assert parts(roofline(figures(time_of(0, 10)), PEAKS), "circle") == []
    assert parts(roofline([], PEAKS), "path", "roof")
