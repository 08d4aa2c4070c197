"""Inference from end to end on small models."""

import functools

import anyio
import numpy as np
import pytest

import maccel_aio
from tests.core import mxqtools

X = np.arange(8, dtype=np.float32)


async def test_infer_returns_the_outputs(plus):
    (y,) = await plus.infer(X)
    np.testing.assert_array_equal(y, X + 1)
    assert y.dtype == np.float32


async def test_the_batch_dimension_comes_back_iff_it_was_given(plus):
    for shape in [(8,), (1, 8), (5, 8)]:
        x = np.random.default_rng(0).random(shape, np.float32)
        (y,) = await plus.infer(x)
        np.testing.assert_array_equal(y, x + 1)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "int32", "uint16", "bool", ">f4"])
async def test_other_numbers_are_converted(plus, dtype):
    (y,) = await plus.infer(X.astype(dtype))
    np.testing.assert_array_equal(y, X.astype(dtype).astype(np.float32) + 1)


async def test_arrays_that_are_not_contiguous_need_no_copy(plus):
    wide = np.arange(64, dtype=np.float32).reshape(8, 8)
    for view in [wide[:, 3], wide[3, ::-1], wide[::-1, ::2][0:1].repeat(2, 1)[0, :8], wide.T[2]]:
        (y,) = await plus.infer(view)
        np.testing.assert_array_equal(y, view + 1)


async def test_a_misaligned_array_works(plus):
    raw = np.zeros(33, np.uint8)
    x = raw[1:].view(np.float32)
    (y,) = await plus.infer(x)
    np.testing.assert_array_equal(y, x + 1)


async def test_out_receives_the_outputs(plus):
    out = np.zeros(8, np.float32)
    (y,) = await plus.infer(X, out=[out])
    assert y is out
    np.testing.assert_array_equal(out, X + 1)
    strided = np.zeros((8, 2), np.float32)
    await plus.infer(X, out=[strided[:, 1]])
    np.testing.assert_array_equal(strided[:, 1], X + 1)
    assert not strided[:, 0].any()


@pytest.mark.parametrize(
    "out", [[np.zeros(7, np.float32)], [np.zeros(8)], [], [np.zeros(8, np.float32)] * 2]
)
async def test_out_that_does_not_fit_is_refused(plus, out):
    with pytest.raises(maccel_aio.ShapeError):
        await plus.infer(X, out=out)


async def test_read_only_out_is_refused_and_costs_no_credit(plus):
    out = np.zeros(8, np.float32)
    out.flags.writeable = False
    for _ in range(100):
        with pytest.raises(maccel_aio.InvalidError, match="read-only"):
            await plus.infer(X, out=[out])
    assert plus.stats().in_flight == 0


@pytest.mark.parametrize("x", [np.zeros(7, np.float32), [X, X], [], np.zeros((0, 8)), np.zeros(())])
async def test_arrays_that_do_not_fit_say_what_was_expected(plus, x):
    with pytest.raises(maccel_aio.ShapeError, match=r"expected x: \(8\).*got") as caught:
        await plus.infer(x)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("x", ["text", np.zeros(8, np.complex64), np.zeros(8, object)])
async def test_what_is_no_number_is_refused(plus, x):
    with pytest.raises(maccel_aio.InvalidError):
        await plus.infer(x)


async def test_a_cache_is_refused_without_one(plus):
    with pytest.raises(maccel_aio.UnsupportedError):
        await plus.infer(X, cache_size=3)


@pytest.mark.parametrize("many", [1, 4, 16, 64, 300])
async def test_many_in_flight_get_their_own_results(plus, many):
    rng = np.random.default_rng(many)
    inputs = [rng.random(8, np.float32) for _ in range(many)]
    results = [None] * many

    async def one(index):
        (results[index],) = await plus.infer(inputs[index])

    async with anyio.create_task_group() as group:
        for index in range(many):
            group.start_soon(one, index)
    for x, y in zip(inputs, results, strict=True):
        np.testing.assert_array_equal(y, x + 1)
    stats = plus.stats()
    assert (stats.completed, stats.in_flight, stats.waiting) == (many, 0, 0)


async def test_results_fit_in_any_order_of_completion(plus_path):
    device = "fault:soft:0?reorder=1&seed=3&duplicate_every=5&delay_ms=1"
    async with maccel_aio.Accelerator(device) as acc, acc.load(plus_path) as model:
        results = {}

        async def one(index):
            (results[index],) = await model.infer(X * index)

        async with anyio.create_task_group() as group:
            for index in range(60):
                group.start_soon(one, index)
        for index in range(60):
            np.testing.assert_array_equal(results[index], X * index + 1)


async def test_two_inputs_and_two_outputs_keep_their_order(tmp_path):
    path = mxqtools.two_by_two(tmp_path / "m.mxq", 4)
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(path) as model:
        a, b = np.arange(4, dtype=np.float32), np.full(4, 10, np.float32)
        total, difference = await model.infer([a, b])
        np.testing.assert_array_equal(total, a + b)
        np.testing.assert_array_equal(difference, a - b)
        batch = np.stack([a, b, a])
        total, _ = await model.infer((batch, batch))
        np.testing.assert_array_equal(total, 2 * batch)
        with pytest.raises(maccel_aio.ShapeError):
            await model.infer([batch, a])
        assert [spec.name for spec in model.outputs] == ["sum", "difference"]


async def test_a_convolution_of_raw_pixels(tmp_path):
    weights = np.array([[1, 2, 3], [-1, 0, 1]])
    path = mxqtools.conv(tmp_path / "m.mxq", weights, 4, 5)
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(path) as model:
        x = np.random.default_rng(1).integers(0, 256, (4, 5, 3), np.uint8)
        (hwc,) = await model.infer(x)
        np.testing.assert_array_equal(hwc, x.astype(np.float32) @ weights.T.astype(np.float32))
        (chw,) = await model.infer(x.transpose(2, 0, 1))
        np.testing.assert_array_equal(chw, hwc.transpose(2, 0, 1))
        (quantised,) = await model.infer((x.astype(np.int16) - 128).astype(np.int8))
        np.testing.assert_array_equal(quantised, hwc)  # a float output stays float


async def test_int8_in_gives_int8_out(tmp_path):
    path = mxqtools.identity(tmp_path / "m.mxq", 8, dtype=mxqtools.U8, scale=0.5, zero=10)
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(path) as model:
        q = np.arange(-4, 4, dtype=np.int8)
        (y,) = await model.infer(q)
        assert y.dtype == np.int8
        np.testing.assert_array_equal(y, q)
        (real,) = await model.infer((q.astype(np.float32) + 128 - 10) * 0.5)
        np.testing.assert_array_equal(real, (q.astype(np.float32) + 128 - 10) * 0.5)


async def test_load_is_awaitable_and_a_context_manager(plus_path):
    async with maccel_aio.load(plus_path) as model:
        assert (await model.infer(X))[0][0] == 1
    assert "closed" in repr(model)
    model = await maccel_aio.load(plus_path)
    await model.aclose()
    async with maccel_aio.Accelerator() as acc:
        model = await maccel_aio.load(plus_path, accelerator=acc)
        assert (await model.infer(X))[0][0] == 1


async def test_launch_works_once(plus_path):
    async with maccel_aio.Accelerator("soft", 0) as acc:
        model = maccel_aio.Model(plus_path, maccel_aio.ModelConfig(2))
        with pytest.raises(maccel_aio.ClosedError, match="not launched"):
            await model.infer(X)
        await model.launch(acc)
        assert (await model.infer(X))[0][0] == 1
        with pytest.raises(maccel_aio.ClosedError):
            await model.launch(acc)


async def test_a_mode_that_was_not_compiled_is_refused(plus_path):
    config = maccel_aio.ModelConfig()
    config.set_global8_core_mode()
    async with maccel_aio.Accelerator("soft:0") as acc:
        with pytest.raises(maccel_aio.UnsupportedError, match="single, multi, auto"):
            await acc.load(plus_path, config)


async def test_description_stats_and_profile(plus):
    assert "x: float32 [1, 8]" in plus.summary()
    assert plus.inputs[0].shape == (1, 8)
    assert plus.manifest.name == "tiny"
    plus.set_profile(True)
    await plus.infer(X)
    (row,) = plus.layer_times()
    assert (row.name, row.calls) == ("layer0", 1)
    plus.set_profile(False)
    assert await plus.speedrun(3) > 0
    assert "launched [0 in flight, 0 waiting, 4 completed]" in repr(plus)


async def test_cancelled_loading_leaves_nothing_behind(plus_path):
    async with maccel_aio.Accelerator("soft:0") as acc:
        for _ in range(20):
            with anyio.move_on_after(0):
                await acc.load(plus_path)
        load = functools.partial(acc.load, plus_path)
        model = await load()
        assert (await model.infer(X))[0][0] == 1
