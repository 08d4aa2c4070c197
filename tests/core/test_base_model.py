"""What all faces check before a request is submitted, and what a model says of itself."""

import math
import pickle

import anyio
import numpy as np
import pytest

import maccel_aio
import maccel_aio.sync
from maccel_aio._core import _base_model, _edges, _port
from maccel_aio._core._types import ModelStats
from tests.core import mxqtools

X = np.arange(8, dtype=np.float32)


@pytest.fixture
def anyio_backend():
    """Nothing here depends on the event loop."""
    return "asyncio"


@pytest.mark.parametrize("call", ["infer", "submit", "try_submit"])
@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"deadline": math.nan}, maccel_aio.InvalidError, "not a number"),
        ({"deadline": 0}, maccel_aio.DeadlineError, "nothing was submitted"),
        ({"deadline": -3}, maccel_aio.DeadlineError, "3 s ago"),
        ({"deadline": "soon"}, maccel_aio.InvalidError, "deadline"),
        ({"priority": 1.5}, maccel_aio.InvalidError, "priority"),
        ({"priority": 1 << 40}, maccel_aio.InvalidError, "priority"),
        ({"priority": None}, maccel_aio.InvalidError, "priority"),
        ({"cache_size": 4}, maccel_aio.UnsupportedError, "KV cache"),
        ({"params": [1]}, maccel_aio.UnsupportedError, "KV cache"),
        ({"out": [[0.0] * 8]}, maccel_aio.InvalidError, "out.*list"),
        ({"out": [None]}, maccel_aio.InvalidError, "out.*NoneType"),
        ({"out": 5}, maccel_aio.InvalidError, "out.*int"),
        ({"out": np.zeros(8, np.float32)}, maccel_aio.InvalidError, "out.*list of arrays"),
        ({"out": []}, maccel_aio.ShapeError, "must hold 1 arrays, got 0"),
        ({"out": [np.zeros(8, np.int32)]}, maccel_aio.ShapeError, "must be float32 .*got int32"),
        ({"out": [np.zeros((1, 8), np.float32)]}, maccel_aio.ShapeError, r"\(8,\).*\(1, 8\)"),
        ({"out": [np.broadcast_to(X, (8,))]}, maccel_aio.InvalidError, "read-only"),
    ],
    ids=str,
)
async def test_a_bad_argument_is_a_typed_error_and_submits_nothing(
    plus, call, options, error, match
):
    with pytest.raises(error, match=match):  # noqa: PT012 - one of the two raises
        made = getattr(plus, call)(X, **options)
        if call != "try_submit":
            await made
    stats = plus.stats()
    assert (stats.submitted, stats.in_flight, stats.waiting) == (0, 0, 0)
    np.testing.assert_array_equal((await plus.infer(X))[0], X + 1)


@pytest.mark.parametrize("priority", [-(1 << 31), -1, True, np.int64(7), (1 << 31) - 1])
async def test_priorities_are_32_bit_integers(plus, priority):
    assert (await plus.infer(X, priority=priority))[0][0] == 1


@pytest.mark.parametrize("deadline", [1e-1, 3, np.float32(5), math.inf, 1e300])
async def test_deadlines_are_seconds_of_any_kind(plus, deadline):
    assert (await plus.infer(X, deadline=deadline))[0][0] == 1


@pytest.mark.parametrize(
    "options",
    [{"max_inflight": 0}, {"max_inflight": -1}, {"max_waiting": -1}, {"cancel_grace": -0.1},
     {"cancel_grace": math.nan}],
    ids=str,
)  # fmt: skip
async def test_bounds_of_a_model_are_checked_at_once(plus_path, options):
    with pytest.raises(maccel_aio.InvalidError, match=next(iter(options))):
        maccel_aio.Model(plus_path, **options)
    if "max_waiting" not in options:
        with pytest.raises(maccel_aio.InvalidError, match=next(iter(options))):
            maccel_aio.sync.Model(plus_path, **options)


async def test_without_waiting_the_second_is_shed_at_once(plus_path):
    async with maccel_aio.Accelerator("fault:soft:0?delay_ms=5") as acc:
        model = await acc.load(plus_path, max_inflight=1, max_waiting=0)
        job = await model.submit(X)
        with pytest.raises(maccel_aio.QueueFullError, match="0 requests wait"):
            await model.infer(X)
        with pytest.raises(maccel_aio.QueueFullError):
            await model.submit(X)
        await job


async def test_without_a_bound_everybody_may_wait(plus_path):
    async with maccel_aio.Accelerator("null:0") as acc:
        model = await acc.load(plus_path, max_inflight=1, max_waiting=None)
        async with anyio.create_task_group() as group:
            for _ in range(1500):
                group.start_soon(model.infer, X)
        assert model.stats().completed == 1500


@pytest.mark.parametrize(
    ("wish", "slots", "effective"), [(None, 0, 64), (3, 0, 3), (None, 100, 200), (1 << 20, 0, 1024)]
)
async def test_the_number_of_credits_is_what_the_statistics_say(plus_path, wish, slots, effective):
    config = maccel_aio.ModelConfig()
    config.set_activation_slots(slots)
    async with maccel_aio.Accelerator("null:0") as acc:
        model = await acc.load(plus_path, config, max_inflight=wish)
        assert model.stats().max_inflight == effective
        assert model.port_here().limit == effective


async def test_a_model_describes_itself_in_every_state(plus_path):
    model = maccel_aio.Model(plus_path)
    assert "new [0 in flight, 0 waiting, 0 completed]" in repr(model)
    for name in ("inputs", "outputs", "manifest"):
        with pytest.raises(maccel_aio.ClosedError, match="not launched") as caught:
            getattr(model, name)
        assert caught.value.path == str(plus_path)
    for method in (model.summary, model.layer_times, lambda: model.set_profile(True)):
        with pytest.raises(maccel_aio.ClosedError):
            method()
    with pytest.raises(maccel_aio.ClosedError):
        await model.speedrun()
    async with maccel_aio.Accelerator("soft:0") as acc:
        await model.launch(acc)
        assert "launched" in repr(model)
        (x,), (y,) = model.inputs, model.outputs
        assert (x.name, x.dtype, x.shape, x.layout, x.batch_axis) == (
            "x",
            "float32",
            (1, 8),
            "ND",
            0,
        )
        assert (y.name, y.is_image) == ("y", False)
        assert pickle.loads(pickle.dumps(x)) == x
        with pytest.raises(maccel_aio.InvalidError):
            await model.speedrun(0)
    assert "closed" in repr(model)
    assert model.path == str(plus_path)
    with pytest.raises(maccel_aio.ClosedError, match="closed"):
        model.summary()


async def test_the_configuration_is_a_copy_on_the_way_in_and_out(plus_path):
    config = maccel_aio.ModelConfig(2)
    model = maccel_aio.Model(plus_path, config)
    config.set_global8_core_mode()
    model.config.set_auto_core_mode()
    assert model.config == maccel_aio.ModelConfig(2)


async def test_statistics_survive_the_loops_that_made_them(plus_path):
    """Counters of ports whose loop has ended are kept, and the lag is weighted by requests."""
    past = ModelStats(5, 4, 1, 0, 0, 0, 0, 0, 0, 100.0, 300)

    class Ring:
        capacity = 9

    port = _port.Port(Ring(), 3, None, None, None)  # type: ignore[arg-type]
    port.submitted, port.completed, port.expired = 3, 2, 1
    port.lag_sum_ns, port.lag_max_ns = 400, 250
    inner = _port.Port(Ring(), 3, None, None, None)  # type: ignore[arg-type]
    inner.inner, inner.completed, inner.lag_sum_ns, inner.lag_max_ns = True, 50, 200, 999
    total = _base_model._add_up([port, inner], past)
    assert (total.submitted, total.completed, total.failed, total.expired) == (8, 6, 1, 1)
    assert total.lag_mean_ns == pytest.approx((4 * 100 + 400 + 200) / 6)
    assert total.lag_max_ns == 999
    assert _base_model._add_up([], past) == past


async def test_profiles_start_from_zero_each_time(plus):
    for rounds in (1, 3):
        plus.set_profile(True)
        for _ in range(rounds):
            await plus.infer(X)
        (row,) = plus.layer_times()
        assert (row.calls, row.layer) == (rounds, 0)
        assert row.total_ns > 0
        assert row.bytes_read == 8 * 4 + 4  # the input and a constant: float32
        assert row.bytes_written == 8 * 4
        plus.set_profile(False)
    await plus.infer(X)


async def test_large_arrays_are_converted_off_the_loop_and_small_ones_at_once(tmp_path):
    path = mxqtools.plus(tmp_path / "large.mxq", 70_000)
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(path) as model:
        for dtype in (np.float64, np.float32, np.int32):
            x = np.arange(70_000).astype(dtype)
            (y,) = await model.infer(x)
            np.testing.assert_array_equal(y, x.astype(np.float32) + 1)
        assert _edges.converts_large([np.zeros(70_000)])
        assert not _edges.converts_large([np.zeros(8), np.zeros(70_000, np.float32)])


async def test_a_twin_is_closed_by_itself(plus_path):
    async with maccel_aio.Accelerator("soft:0") as acc:
        model = await acc.load(plus_path)
        twin = maccel_aio.sync.Model.share(model)
        job = twin.submit(X)
        assert job.result()[0][0] == 1
        twin.close()
        assert (await model.infer(X))[0][0] == 1
        other = maccel_aio.sync.Model.share(model)
        await model.aclose()
        assert other.submit(X).result()[0][0] == 1
        with pytest.raises(maccel_aio.ClosedError):
            maccel_aio.sync.Model.share(model)
        other.close()
