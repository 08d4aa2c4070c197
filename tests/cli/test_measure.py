"""Measuring: counts, shares and spreads; no test looks at how long anything took."""

import anyio
import anyio.lowlevel
import numpy as np
import pytest

from maccel_aio import Accelerator, TensorSpec
from maccel_aio.cli import _measure
from maccel_aio.cli._measure import Bench, Figures, Spread


def test_spread_is_median_and_range():
    assert Spread.of([3, 1, 2]) == (2, 1, 3)
    assert Spread.of([5]) == (5, 5, 5)


def test_figures_of_known_rounds():
    figures = Figures(
        latencies_s=[k / 1000 for k in range(1, 101)],
        throughput=[80, 100, 90],
        speedrun=[100, 120, 110],
        peer_s=[4.0, 9.0],
        round_latency_s=[2.0, 3.0],
    )
    assert figures.percentiles()["p50"] == pytest.approx(0.0505)
    assert figures.percentiles()["p99"] == pytest.approx(0.09901)
    assert figures.efficiency == pytest.approx(90 / 110)
    assert figures.peer_ratio() == (2.5, 2.0, 3.0)


@pytest.mark.parametrize(
    ("layout", "preprocess", "dtype", "shape"),
    [
        ("NCHW", {"channels": "RGB"}, np.uint8, (1, 4, 5, 3)),
        ("NHWC", {"channels": "RGB"}, np.uint8, (1, 3, 4, 5)),
        ("NCHW", None, np.float32, (1, 3, 4, 5)),
    ],
)
def test_noise_is_pixels_where_the_model_takes_them(layout, preprocess, dtype, shape):
    spec = TensorSpec("x", "float32", (1, 3, 4, 5), layout, 0, 1.0, 0, "uint8", preprocess)
    (array,) = _measure.random_inputs([spec])
    assert (array.dtype, array.shape) == (dtype, shape)
    np.testing.assert_array_equal(array, _measure.random_inputs([spec])[0])
    assert (array != _measure.random_inputs([spec], seed=1)[0]).any()


def test_whole_number_inputs_get_small_whole_numbers():
    spec = TensorSpec("ids", "int64", (1, 8), "ND", 0, 1.0, 0, "int64", None)
    (array,) = _measure.random_inputs([spec])
    assert array.dtype == np.int64
    assert set(array.ravel()) <= {0, 1}


async def test_depth_calls_are_under_way_at_a_time():
    running = most = 0

    async def work(_worker):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.lowlevel.checkpoint()
        running -= 1

    durations, rate = await _measure.for_seconds(0.05, 3, work)
    assert most == 3
    assert len(durations) >= 3
    assert rate > 0


async def test_a_failing_call_ends_the_measurement():
    async def work(_worker):
        raise KeyError("broken")

    with pytest.raises(BaseExceptionGroup) as caught:
        await _measure.for_seconds(10, 2, work)
    assert caught.group_contains(KeyError)


async def test_a_round_gives_every_figure_once(classifier):
    calls = []
    async with Accelerator() as accelerator, accelerator.load(classifier) as model:
        bench = Bench(accelerator, model, depth=2, seconds=0.05, peer=lambda: calls.append(1))
        await bench.warm_up()
        await bench.round()
        await bench.round()
    figures = bench.figures
    for values in (figures.throughput, figures.speedrun, figures.peer_s, figures.busy_share):
        assert len(values) == 2
        assert min(values) > 0
    assert len(figures.latencies_s) >= 2
    assert len(calls) >= 3
    assert figures.efficiency > 0
