"""Streams to their end: exact accounts of every policy, every way out, every failure inside."""

import threading
from typing import Any

import anyio
import anyio.lowlevel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import maccel_aio
from maccel_aio._core._source import Source
from maccel_aio._typing import override

POLICIES = ["block", "drop_new", "drop_old", "latest"]


def frame(index):
    return np.full(8, index, np.float32)


async def until(condition):
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - counters, not events
            await anyio.sleep(0.001)


def check(stats):
    assert stats.produced == stats.delivered + stats.dropped + stats.failed + stats.in_flight


@pytest.mark.parametrize("overflow", POLICIES)
@pytest.mark.parametrize("order", ["submit", "complete"])
async def test_pitfall_16_accounts_are_exact_under_random_completion(plus_path, overflow, order):
    device = "fault:soft:0?reorder=1&seed=11&delay_ms=0.5&fail_every=9"
    async with maccel_aio.Accelerator(device) as acc, acc.load(plus_path) as model:

        async def source():
            for index in range(60):
                if index % 7 == 0:
                    await anyio.sleep(0.001)
                yield frame(index)

        seen, failed = [], []
        async with model.stream(
            source(), depth=3, overflow=overflow, order=order, on_error="yield"
        ) as stream:
            async for item in stream:
                check(stream.statistics())
                if item.error is None:
                    np.testing.assert_array_equal(item.outputs[0], frame(item.index + 1))
                    seen.append(item.index)
                else:
                    failed.append(item.index)
        stats = stream.statistics()
        check(stats)
        assert (stats.produced, stats.in_flight) == (60, 0)
        assert (stats.delivered, stats.failed) == (len(seen), len(failed))
        assert len({*seen, *failed}) == len(seen) + len(failed)
        if order == "submit":
            assert seen == sorted(seen)
        if overflow == "block":
            assert (stats.dropped, stats.failed) == (0, 60 // 9)
        if overflow in ("drop_old", "latest"):
            assert 59 in (*seen, *failed)


@pytest.mark.parametrize(
    ("overflow", "kept"),
    [("drop_new", [0, 1, 2, 3]), ("drop_old", [0, 1, 8, 9]), ("latest", [0, 1, 9])],
)
async def test_pitfall_16_which_items_a_full_stream_keeps(plus_path, overflow, kept):
    """Two lanes are taken and nobody consumes: what waits is decided by the policy alone."""
    device = "fault:soft:0?delay_ms=10"
    async with maccel_aio.Accelerator(device) as acc, acc.load(plus_path) as model:
        done = anyio.Event()

        async def source():
            for index in range(10):
                yield frame(index)
                for _ in range(20):  # the first two must be in their lanes before the third comes
                    await anyio.lowlevel.checkpoint()
            done.set()

        async with model.stream(source(), depth=2, overflow=overflow) as stream:
            await done.wait()
            await until(lambda: len(stream._ready) == 2)
            assert stream.statistics() == (10, 0, 10 - len(kept), 0, len(kept))
            assert [item.index async for item in stream] == kept


async def test_pitfall_17_a_slow_consumer_holds_a_bounded_number_of_items(plus):
    alive = 0

    class Frame:
        def __init__(self, index):
            nonlocal alive
            alive += 1
            self.pixels = frame(index)

        def __del__(self):
            nonlocal alive
            alive -= 1

    most = 0

    def source():
        for index in range(80):
            yield Frame(index)

    async with plus.stream(source(), prepare=lambda f: f.pixels, depth=4) as stream:
        async for item in stream:
            await anyio.lowlevel.checkpoint()
            most = max(most, alive)
            del item
    assert most <= 4 + 4
    assert stream.statistics().delivered == 80


@pytest.mark.parametrize("overflow", POLICIES)
async def test_pitfall_15_a_stream_that_is_never_iterated(plus_path, overflow):
    device = "fault:soft:0?delay_ms=1"
    async with maccel_aio.Accelerator(device) as acc, acc.load(plus_path) as model:
        async with model.stream((frame(i) for i in range(50)), overflow=overflow, depth=2):
            await anyio.sleep(0.01)
        assert (model.stats().in_flight, model.stats().waiting) == (0, 0)
        unentered = model.stream([frame(0)])
        await unentered.aclose()
        assert "new" in repr(unentered)


@pytest.mark.parametrize("stage", ["prepare", "finish", "source", "device", "hangs"])
async def test_pitfall_15_leaving_while_a_stage_is_busy(plus_path, stage):
    """Nothing of a stream is left when its block is, wherever its items were."""
    gate = threading.Event()
    busy = threading.Event()

    def slow(value):
        busy.set()
        gate.wait(0.05)
        return value

    def source():
        for index in range(1000):
            if stage == "source" and index == 2:
                slow(index)
            yield frame(index)

    device = {"device": "fault:soft:0?delay_ms=20", "hangs": "fault:soft:0?hang_every=3"}
    acc = maccel_aio.Accelerator(device.get(stage, "soft:0"))
    model = await acc.load(plus_path, cancel_grace=0.05)
    options: Any = {stage: slow} if stage in ("prepare", "finish") else {}
    with anyio.fail_after(10):
        async with model.stream(source(), depth=3, **options) as stream:
            if stage in ("device", "hangs"):
                await until(lambda: acc.stats().running >= 1)
            else:
                await until(busy.is_set)
        gate.set()
        assert "ended" in repr(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    await acc.aclose(drain=0.05 if stage == "hangs" else 5)


async def test_a_model_that_is_closed_ends_its_streams(plus_path):
    async with maccel_aio.Accelerator("fault:soft:0?delay_ms=2") as acc:
        model = await acc.load(plus_path)
        seen = []
        with pytest.raises(maccel_aio.ClosedError):  # noqa: PT012 - the loop raises
            async with model.stream((frame(i) for i in range(10_000)), depth=2) as stream:
                async for item in stream:
                    seen.append(item.index)
                    if item.index == 4:
                        await model.aclose()
        assert 5 <= len(seen) <= 8
        with pytest.raises(maccel_aio.ClosedError):
            async with model.stream([frame(0)]):
                pass


async def test_a_lost_device_ends_a_stream_with_its_error(plus_path):
    async with maccel_aio.Accelerator("fault:soft:0?lose_after=5") as acc:
        model = await acc.load(plus_path)
        async with model.stream([frame(i) for i in range(20)], on_error="yield") as stream:
            items = [item async for item in stream]
        assert sum(item.error is None for item in items) == 5
        assert all(
            isinstance(item.error, maccel_aio.DeviceLostError) for item in items if item.error
        )
        assert stream.statistics() == (20, 5, 0, 15, 0)


async def test_the_first_error_ends_a_stream_that_raises(plus_path):
    async with maccel_aio.Accelerator("fault:soft:0?cores=1&fail_every=4") as acc:
        model = await acc.load(plus_path)
        async with model.stream([frame(i) for i in range(20)], depth=2) as stream:
            seen = []
            with pytest.raises(maccel_aio.InferenceError):  # noqa: PT012 - the loop raises
                while True:
                    seen.append((await anext(stream)).index)
            for _ in range(2):
                with pytest.raises(StopAsyncIteration):
                    await anext(stream)
        assert seen == [0, 1, 2]


async def test_one_consumer_at_a_time(plus_path):
    async with maccel_aio.Accelerator("fault:soft:0?delay_ms=30") as acc:
        model = await acc.load(plus_path)
        async with model.stream([frame(0), frame(1)]) as stream:
            errors = []

            async def second():
                try:
                    await anext(stream)
                except anyio.BusyResourceError as problem:
                    errors.append(problem)

            async with anyio.create_task_group() as group:
                group.start_soon(anext, stream)
                await anyio.lowlevel.checkpoint()
                group.start_soon(second)
            assert len(errors) == 1
            assert (await anext(stream)).index == 1


class Closing:
    """An iterator of either kind that knows whether it was closed, and may fail at that."""

    def __init__(self, fails=False):
        self.closed = 0
        self.fails = fails

    def close(self):
        self.closed += 1
        if self.fails:
            raise OSError("the camera does not answer")


class Plain(Closing):
    def __iter__(self):
        return self

    def __next__(self):
        return frame(1)


class Asynchronous(Closing):
    def __aiter__(self):
        return self

    async def __anext__(self):
        await anyio.lowlevel.checkpoint()
        return frame(1)

    async def aclose(self):
        await anyio.lowlevel.checkpoint()
        self.close()


@pytest.mark.parametrize("kind", [Plain, Asynchronous])
@pytest.mark.parametrize("fails", [False, True])
async def test_a_source_is_closed_once_and_its_failure_is_logged(plus, kind, fails, caplog):
    source = kind(fails)
    async with plus.stream(source, depth=2) as stream:
        assert (await anext(stream)).outputs[0][0] == 2
    assert source.closed == 1
    assert ("closing the source of a stream failed" in caplog.text) is fails


async def test_sources_of_every_kind(plus):
    array = np.arange(24, dtype=np.float32).reshape(3, 8)
    kinds = {
        "array": array, "list": list(array), "tuple": tuple(array), "set": {1: array[0]}.values(),
        "map": map(np.copy, array), "iterator": iter(list(array)),
    }  # fmt: skip
    for name, source in kinds.items():
        async with plus.stream(source) as stream:
            outputs = [item.outputs[0] async for item in stream]
        np.testing.assert_array_equal(outputs, array[: len(outputs)] + 1)
        assert len(outputs) == (1 if name == "set" else 3)


async def test_what_cannot_block_is_advanced_in_the_loop_and_the_rest_elsewhere():
    here = threading.get_ident()
    threads = []

    class Sequence(list[int]):
        @override
        def __iter__(self):
            threads.append(threading.get_ident())
            return super().__iter__()

    source = Source(Sequence([1]))
    assert await source.next() == (True, 1)
    assert (await source.next())[0] is False

    def generate():
        threads.append(threading.get_ident())
        yield 2

    source = Source(generate())
    assert await source.next() == (True, 2)
    assert (await source.next())[0] is False
    await source.aclose()
    assert (threads[0], threads[1] == here) == (here, False)


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    from tests.core import mxqtools

    return mxqtools.plus(tmp_path_factory.mktemp("streams") / "plus.mxq", 8)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    count=st.integers(0, 30), depth=st.integers(1, 6), overflow=st.sampled_from(POLICIES),
    order=st.sampled_from(["submit", "complete"]), bad=st.sets(st.integers(0, 29)),
    leave_after=st.one_of(st.none(), st.integers(0, 10)), staged=st.booleans(),
)  # fmt: skip
def test_pitfall_16_any_stream_accounts_for_every_item(
    model_path, count, depth, overflow, order, bad, leave_after, staged
):
    async def main():
        source = [np.zeros(3) if index in bad else frame(index) for index in range(count)]
        stages: Any = {"prepare": np.copy, "finish": lambda y: y} if staged else {}
        options: Any = {"depth": depth, "overflow": overflow, "order": order, "on_error": "yield"}
        async with maccel_aio.Accelerator("soft:0") as acc, acc.load(model_path) as model:
            seen = []
            async with model.stream(source, **options, **stages) as stream:
                async for item in stream:
                    seen.append(item.index)
                    assert (item.error is not None) is (item.index in bad)
                    check(stream.statistics())
                    if leave_after is not None and len(seen) > leave_after:
                        break
            assert model.stats().in_flight == 0
            stats = stream.statistics()
            check(stats)
            assert len(seen) == len(set(seen)) == stats.delivered + stats.failed
            if order == "submit":
                assert seen == sorted(seen)
            if leave_after is None:
                assert (stats.produced, stats.in_flight) == (count, 0)
                assert (
                    overflow != "block"
                    or (seen and sorted(seen) == list(range(count)))
                    or not count
                )

    anyio.run(main)
