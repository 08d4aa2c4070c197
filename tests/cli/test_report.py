"""The page of a bench: whole, alone, and safe whatever layers are called."""

import re
from html.parser import HTMLParser

import maccel_aio
from maccel_aio._typing import override
from maccel_aio.cli._measure import Figures
from maccel_aio.cli._report import Run, processor_name, report
from maccel_aio.cli._report_style import STYLE
from tests.cli.test_layers import PEAKS, time_of
from tests.cli.test_roofline import figures

VOID = {"meta"}


class Page(HTMLParser):
    """Checks that tags close in order, and collects them and the text."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.words = [], [], []

    @override
    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    @override
    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    @override
    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    @override
    def handle_data(self, data):
        self.words.append(data)


def read(text):
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    return page


def run(classifier, layers, **measured):
    numbers = Figures([0.001, 0.002], [900.0, 1000.0], [0.9, 0.9], [1000.0, 1100.0], **measured)
    info = maccel_aio.DeviceInfo("soft:0", "soft", 0, 2, 4, 1, 2, 1)
    manifest = maccel_aio.read_manifest(classifier)
    return Run("net.mxq", info, manifest, numbers, layers, PEAKS)


def test_the_page_is_well_formed_and_has_every_part(classifier):
    page = read(report(run(classifier, figures(time_of(0, 10, 10_000), time_of(1, 20)))))
    text = " ".join(page.words)
    for part in ("net.mxq", "latency p99", "Roofline", "layer 1", "all layers", "Machine", "avx2"):
        assert part in text
    rows = [tag for tag, _ in page.tags if tag == "tr"]
    assert len(rows) == 1 + 2 + 1
    assert "Not drawn: 1 " in text
    assert "onnxruntime" not in text


def test_nothing_is_loaded_and_nothing_runs(classifier):
    text = report(run(classifier, figures(time_of(0, 10, 10_000))))
    page = read(text)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object"}
    assert not [key for _, found in page.tags for key in found if key in ("src", "href")]
    assert not re.search(r"https?:|url\((?!#)|@import", text)


def test_names_are_text(classifier):
    layers = [one._replace(name="<script>&") for one in figures(time_of(0, 10, 10_000))]
    page = read(report(run(classifier, layers)))
    assert "script" not in {tag for tag, _ in page.tags}
    assert "<script>&" in page.words


def test_a_peer_is_a_tile(classifier):
    layers = figures(time_of(0, 10, 10_000))
    page = read(report(run(classifier, layers, peer_s=[0.004], round_latency_s=[0.002])))
    assert "2.00 x" in page.words


def test_a_device_without_times_still_has_a_page(classifier):
    assert "does not tell" in report(run(classifier, []))


def test_the_style_knows_dark_light_and_paper():
    assert STYLE.count("{") == STYLE.count("}")
    for word in ("prefers-color-scheme: dark", "@media print", "--back"):
        assert word in STYLE
    used = set(re.findall(r"var\((--[a-z0-9]+)\)", STYLE))
    light, dark = (set(re.findall(r"(--[a-z0-9]+):", part)) for part in STYLE.split("@media")[:2])
    assert used == light
    assert light == dark


def test_the_processor_has_a_name():
    assert processor_name().strip()
