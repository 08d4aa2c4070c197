"""What a layer does with the machine: rates, shares and roofs follow from times and limits."""

import pytest

from maccel_aio import Layer, LayerTime, Manifest, Peaks
from maccel_aio.cli._console import Console
from maccel_aio.cli._layers import Total, layer_figures, peaks_text, show_layers

PEAKS = Peaks("avx2", 400e9, 100e9, 100e9, 50e9, 20e9, 1 << 20, 32 << 20)


def manifest(*precisions):
    layers = [
        Layer(number, f"layer {number}", "Conv", "npu0", 0, precision, (1, 8), None)
        for number, precision in enumerate(precisions)
    ]
    return Manifest("m", "soft", ("single",), (), tuple(layers), {})


def time_of(number, us, macs=0, moved=1000, calls=2):
    read = moved // 2
    ns = int(us * 1000) * calls
    return LayerTime(number, f"layer {number}", "Conv", calls, ns, macs, read, moved - read)


def figure(us=10.0, macs=0, moved=1000, precision="int8"):
    (one,) = layer_figures([[time_of(0, us, macs, moved)]], manifest(precision), PEAKS)
    return one


def test_rates_are_per_second_of_one_inference():
    one = figure(us=10, macs=1_000_000, moved=50_000)
    assert one.seconds.median == pytest.approx(10e-6)
    assert one.ops_per_s == pytest.approx(2e6 / 10e-6)
    assert one.bytes_per_s == pytest.approx(50_000 / 10e-6)
    assert one.intensity == pytest.approx(40)
    assert one.peak_share == pytest.approx(0.5)


def test_float_layers_are_compared_with_the_float_peak():
    assert figure(macs=100_000, precision="float32").peak_share == pytest.approx(0.2)
    assert figure(macs=100_000, precision="int16").peak_share == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("macs", "moved", "roof", "floor_us"),
    [
        (1_000_000, 50_000, "compute", 5.0),
        (1_000, 500_000, "L2", 5.0),
        (0, 500_000, "L2", 5.0),
        (0, 1 << 20, "L2", (1 << 20) / 100e3),
        (0, 5_000_000, "L3", 100.0),
        (0, 40_000_000, "DRAM", 2000.0),
    ],
)
def test_a_layer_hangs_under_the_lower_roof(macs, moved, roof, floor_us):
    one = figure(us=10_000, macs=macs, moved=moved)
    assert one.roof == roof
    assert one.floor_s == pytest.approx(floor_us * 1e-6)
    assert one.roof_share == pytest.approx(floor_us / 10_000)


def test_the_median_window_counts():
    windows = [[time_of(0, 5), time_of(1, us)] for us in (10, 15, 500)]
    first, second = layer_figures(windows, manifest("int8", "int8"), PEAKS)
    assert second.seconds == pytest.approx((15e-6, 10e-6, 500e-6))
    assert (first.share, second.share) == pytest.approx((0.25, 0.75))
    assert (second.calls, second.total_ns) == (6, 2 * (10_000 + 15_000 + 500_000))


def test_a_layer_that_never_ran_is_left_out():
    assert layer_figures([[time_of(0, 5, calls=0)]], manifest("int8"), PEAKS) == []


def test_totals_add_up():
    windows = [[time_of(0, 10, 1_000_000, 10_000), time_of(1, 30, 0, 500_000)]]
    total = Total.of(layer_figures(windows, manifest("int8", "int8"), PEAKS))
    assert total.seconds == pytest.approx(40e-6)
    assert (total.macs, total.bytes_moved) == (1_000_000, 510_000)
    assert total.peak_share == pytest.approx(5 / 40)
    assert total.roof_share == pytest.approx(10 / 40)
    assert Total.of([]) == (0.0, 0, 0, 0.0, 0.0)


def test_the_table_names_layers_roofs_and_limits(capsys):
    windows = [[time_of(0, 10, 1_000_000, 10_000), time_of(1, 30, 0, 500_000)]]
    figures = layer_figures(windows, manifest("int8", "float32"), PEAKS)
    show_layers(Console(), figures, PEAKS)
    lines = capsys.readouterr().out.splitlines()
    assert "layer 0" in lines[1]
    assert "compute" in lines[1]
    assert "200" in lines[1]
    assert "Conv float32" in lines[2]
    assert "L2" in lines[2]
    assert "all layers" in lines[3]
    assert peaks_text(PEAKS) in lines[4]


def test_plain_values_are_json_like():
    plain = figure(macs=1000).plain()
    assert plain["seconds"]["median"] == pytest.approx(10e-6)
    assert plain["roof"] in ("compute", "L2")
    assert {"ops_per_s", "bytes_per_s", "peak_share", "roof_share"} <= set(plain)
