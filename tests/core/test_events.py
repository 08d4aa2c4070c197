"""Events of devices: each is told once, in order, to everybody who asks.

Shown to fail: with a watch that forgets what it saw when a wait is cancelled; with ``_differences``
that tells of totals; with ``_motion`` that takes an idle device for a stalled one.
"""

import anyio
import numpy as np
import pytest

import maccel_aio
from maccel_aio.testing import faulty_accelerator

X = np.arange(8, dtype=np.float32)
SOON = 0.005


async def infer_all(model, count):
    """Infer one by one; return how many failed."""
    failed = 0
    for _ in range(count):
        try:
            await model.infer(X)
        except maccel_aio.MaccelError:
            failed += 1
    return failed


async def test_failures_are_counted_exactly(plus_path):
    async with faulty_accelerator(fail_every=3) as acc, acc.load(plus_path) as model:
        await infer_all(model, 3)
        async with acc.events(interval=SOON) as events:
            failed = await infer_all(model, 20)
            event = await anext(events)
            assert (event.kind, event.requests) == ("failed", failed)
            failed = await infer_all(model, 9)
            assert (await anext(events)).requests == failed
            with anyio.move_on_after(5 * SOON) as scope:
                await anext(events)
            assert scope.cancelled_caught


async def test_what_completes_twice_is_late(plus_path):
    acc = faulty_accelerator(duplicate_every=2)
    async with acc, acc.load(plus_path) as model, acc.events(interval=SOON) as events:
        await infer_all(model, 10)
        late = 0
        with anyio.fail_after(20):
            while late < 5:
                event = await anext(events)
                assert event.kind == "late"
                late += event.requests
        assert late == 5


async def test_a_lost_device_is_told_once_and_a_closed_one_ends_it(plus_path):
    acc = faulty_accelerator(lose_after=2)
    model = await acc.load(plus_path)
    seen: list[list[maccel_aio.DeviceEvent]] = [[], []]

    async def watch(mine, started):
        async with acc.events(interval=SOON) as events:
            started.set()
            async for event in events:
                mine.append(event)

    async with anyio.create_task_group() as group:
        for mine in seen:
            started = anyio.Event()
            group.start_soon(watch, mine, started)
            await started.wait()
        assert await infer_all(model, 5) == 3
        with anyio.fail_after(20):
            while not all(seen):  # noqa: ASYNC110 - lists, not events
                await anyio.sleep(SOON)
        await acc.aclose()
    for mine in seen:
        kinds = [event.kind for event in mine if event.kind != "failed"]
        assert kinds == ["lost", "closed"]
        assert {event.device for event in mine} == {acc.name}
        assert [event.time_ns for event in mine] == sorted(event.time_ns for event in mine)


async def test_a_stall_and_its_end(plus_path):
    """An idle device does not stall; one that has work and completes nothing does."""
    acc = faulty_accelerator(delay=1.0)
    async with acc, acc.load(plus_path) as model, acc.events(interval=SOON, stall=0.05) as events:
        with anyio.move_on_after(0.2) as scope:
            await anext(events)
        assert scope.cancelled_caught
        async with anyio.create_task_group() as group:
            group.start_soon(model.infer, X)
            with anyio.fail_after(20):
                assert (await anext(events)).kind == "stalled"
                assert (await anext(events)).kind == "recovered"


async def test_a_hung_device_stalls_for_good(plus_path):
    acc = faulty_accelerator(hang_every=1)
    async with acc, acc.load(plus_path) as model, acc.events(interval=SOON, stall=0.05) as events:
        await model.submit(X)
        with anyio.fail_after(20):
            assert (await anext(events)).kind == "stalled"
        with anyio.move_on_after(0.2) as scope:
            await anext(events)
        assert scope.cancelled_caught
        await acc.aclose(drain=0.05)
        assert (await anext(events)).kind == "closed"
        with pytest.raises(StopAsyncIteration):
            await anext(events)


async def test_what_cannot_be_watched(plus_path):
    acc = maccel_aio.Accelerator("soft:0")
    with pytest.raises(maccel_aio.ClosedError, match="not open"):
        async with acc.events():
            pass
    async with acc:
        for wrong in (0.0, -1.0, float("nan")):
            with pytest.raises(maccel_aio.InvalidError):
                acc.events(interval=wrong)
            with pytest.raises(maccel_aio.InvalidError):
                async with acc.events(stall=wrong):
                    pass
        with pytest.raises(maccel_aio.ClosedError, match="block"):
            await anext(acc.events())
        async with acc.events(interval=SOON) as events:
            assert repr(events) == "<DeviceEvents watching>"
        with pytest.raises(StopAsyncIteration):
            await anext(events)
        assert repr(events) == "<DeviceEvents ended>"
