"""Streams: order, bounds, policies with exact counts, and every way of leaving one."""

import threading
import time

import anyio
import anyio.lowlevel
import numpy as np
import pytest

import maccel_aio


def frame(index):
    return np.full(8, index, np.float32)


async def numbers(count):
    for index in range(count):
        await anyio.lowlevel.checkpoint()
        yield frame(index)


@pytest.mark.parametrize("depth", [1, 2, 7, None])
async def test_items_come_in_order_and_complete(plus, depth):
    async with plus.stream([frame(i) for i in range(30)], depth=depth) as stream:
        indices = []
        async for item in stream:
            np.testing.assert_array_equal(item.outputs[0], item.value + 1)
            assert item.timing.t_done > 0
            indices.append(item.index)
    assert indices == list(range(30))
    assert stream.statistics() == (30, 30, 0, 0, 0)


async def test_order_survives_completions_out_of_order(plus_path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?reorder=1&seed=1&delay_ms=1") as acc,
        acc.load(plus_path) as model,
        model.stream(numbers(60), depth=8) as stream,
    ):
        assert [item.index async for item in stream] == list(range(60))


async def test_completion_order_delivers_everything_once(plus):
    source = (frame(i) for i in range(40))
    async with plus.stream(source, order="complete", depth=5) as stream:
        found = sorted([item.index async for item in stream])
    assert found == list(range(40))


async def test_sources_and_stages_run_in_worker_threads(plus):
    threads: dict[str, set[int]] = {"source": set(), "prepare": set(), "finish": set()}
    loop_thread = threading.get_ident()

    def source():
        for index in range(10):
            threads["source"].add(threading.get_ident())
            time.sleep(0.001)
            yield index

    def prepare(index):
        threads["prepare"].add(threading.get_ident())
        return frame(index)

    def finish(outputs):
        threads["finish"].add(threading.get_ident())
        return float(outputs[0][0])

    async with plus.stream(source(), prepare=prepare, finish=finish) as stream:
        assert [item.outputs async for item in stream] == [float(i + 1) for i in range(10)]
    for used in threads.values():
        assert used
        assert loop_thread not in used


async def test_blocking_overflow_bounds_what_is_between(plus):
    pulled = 0

    async def source():
        nonlocal pulled
        for index in range(50):
            pulled += 1
            yield frame(index)

    async with plus.stream(source(), depth=3) as stream:
        consumed = 0
        async for _ in stream:
            consumed += 1
            await anyio.sleep(0.001)
            assert pulled - consumed <= 4
    assert consumed == 50


@pytest.mark.parametrize("overflow", ["drop_new", "drop_old", "latest"])
async def test_lossy_streams_account_for_every_item(plus_path, overflow):
    async with (
        maccel_aio.Accelerator("fault:soft:0?delay_ms=5") as acc,
        acc.load(plus_path) as model,
    ):
        async with model.stream(numbers(100), depth=2, overflow=overflow) as stream:
            indices = [item.index async for item in stream]
        stats = stream.statistics()
        assert stats.produced == 100
        assert stats.delivered + stats.dropped == 100
        assert stats.delivered == len(indices)
        assert stats.dropped > 0
        assert indices == sorted(set(indices))
        if overflow != "drop_new":
            assert indices[-1] == 99


async def test_latest_keeps_exactly_the_newest(plus):
    gate = anyio.Event()

    async def source():
        for index in range(10):
            yield frame(index)
            await anyio.sleep(0.001)
        gate.set()

    async with plus.stream(source(), depth=1, overflow="latest") as stream:
        await gate.wait()
        assert [item.index async for item in stream] == [0, 9]
    assert stream.statistics() == (10, 2, 8, 0, 0)


async def test_an_error_is_raised_in_its_place(plus):
    source = [frame(0), frame(1), np.zeros(3, np.float32), frame(3)]
    seen = []
    async with plus.stream(source, depth=4) as stream:
        with pytest.raises(maccel_aio.ShapeError):  # noqa: PT012 - the loop raises
            async for item in stream:
                seen.append(item.index)  # noqa: PERF401 - what came before the error
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    assert seen == [0, 1]


async def test_errors_can_be_yielded(plus):
    def prepare(index):
        if index % 3 == 0:
            raise ValueError(str(index))
        return frame(index)

    async with plus.stream(range(9), prepare=prepare, on_error="yield") as stream:
        items = [item async for item in stream]
    assert [item.index for item in items if item.error] == [0, 3, 6]
    assert all((item.outputs is None) == (item.error is not None) for item in items)
    assert stream.statistics() == (9, 6, 0, 3, 0)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_an_error_of_the_source_comes_after_the_items_before_it(plus, kind):
    def sync():
        yield frame(0)
        yield frame(1)
        raise OSError("camera gone")

    async def asynchronous():
        for item in [frame(0), frame(1)]:
            yield item
        raise OSError("camera gone")

    seen = []
    async with plus.stream(sync() if kind == "sync" else asynchronous()) as stream:
        with pytest.raises(OSError, match="camera gone"):  # noqa: PT012 - the loop raises
            async for item in stream:
                seen.append(item.index)  # noqa: PERF401 - what came before the error
    assert seen == [0, 1]


def endless(kind, closed):
    """Return a source without an end; it adds to ``closed`` when it is closed."""

    def sync():
        try:
            while True:
                yield frame(0)
        finally:
            closed.append(1)

    async def asynchronous():
        try:
            while True:
                await anyio.lowlevel.checkpoint()
                yield frame(0)
        finally:
            closed.append(1)

    return sync() if kind == "sync" else asynchronous()


@pytest.mark.parametrize("how", ["break", "exception", "never", "cancel"])
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_leaving_early_ends_everything(plus_path, how, kind):
    closed: list[int] = []

    async def consume(model):
        async with model.stream(endless(kind, closed)) as stream:
            if how == "never":
                return
            async for item in stream:
                if item.index == 5:
                    if how == "break":
                        break
                    if how == "exception":
                        raise KeyError("body")
                    await anyio.sleep(60)

    async with (
        maccel_aio.Accelerator("fault:soft:0?delay_ms=1") as acc,
        acc.load(plus_path) as model,
    ):
        if how == "exception":
            with pytest.raises(KeyError, match="body"):
                await consume(model)
        else:
            with anyio.move_on_after(0.3 if how == "cancel" else 20):
                await consume(model)
        assert model.stats().in_flight == 0
        assert how == "never" or closed == [1]


async def test_a_stream_must_be_entered_and_only_once(plus):
    stream = plus.stream([frame(0)])
    with pytest.raises(maccel_aio.InvalidError, match="enter"):
        await anext(stream)
    async with stream:
        with pytest.raises(maccel_aio.InvalidError, match="once"):
            await stream.__aenter__()
        assert "running" in repr(stream) or "ended" in repr(stream)
    await stream.aclose()


@pytest.mark.parametrize(
    "options", [{"order": "x"}, {"overflow": "x"}, {"on_error": "x"}, {"depth": 0}]
)
async def test_unknown_options_are_refused(plus, options):
    with pytest.raises(maccel_aio.InvalidError):
        plus.stream([], **options)


async def test_what_is_not_iterable_is_refused(plus):
    with pytest.raises(maccel_aio.InvalidError, match="not iterable"):
        plus.stream(5)


async def test_an_empty_source_ends_at_once(plus):
    async with plus.stream([]) as stream:
        assert [item async for item in stream] == []


async def test_two_streams_share_one_model(plus):
    results = {}

    async def run(name, count):
        async with plus.stream((frame(i) for i in range(count)), depth=3) as stream:
            results[name] = [float(item.outputs[0][0]) async for item in stream]

    async with anyio.create_task_group() as group:
        group.start_soon(run, "a", 20)
        group.start_soon(run, "b", 30)
    assert results == {"a": [i + 1.0 for i in range(20)], "b": [i + 1.0 for i in range(30)]}
