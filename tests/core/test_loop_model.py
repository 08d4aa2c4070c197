"""The cancellation contract cell by cell: where the request is, and whose memory it writes.

Rows: waiting for a credit, queued on the device, running, hung. Columns: outputs of the library's
own, and the caller's ``out=``. Each cell runs in asyncio, uvloop and trio.
"""

import asyncio
import time
from typing import Any

import anyio
import anyio.lowlevel
import numpy as np
import pytest
import sniffio
import trio

import maccel_aio
from maccel_aio import CancelOutcome
from maccel_aio._core import _graveyard, _guard

X = np.arange(8, dtype=np.float32)
ONE_CORE = "fault:soft:0?cores=1&delay_ms=200"
HANGS = "fault:soft:0?hang_every=1"
LOOPS = [
    pytest.param(("asyncio", {}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    pytest.param(("trio", {}), id="trio"),
]
#: A contract that says "now" must hold on a machine that is busy with other things.
PROMPT_S = 5.0


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return request.param


async def until(condition):
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - counters, not events
            await anyio.sleep(0.001)


class Victim:
    """A task in ``infer`` that can be cancelled from outside."""

    def __init__(self, model, out):
        self.model = model
        self.out = None if out is None else [out]
        self.scope = anyio.CancelScope()
        self.ended = anyio.Event()
        self.error = None

    async def run(self, x=X):
        with self.scope:
            try:
                await self.model.infer(x, out=self.out)
            except maccel_aio.MaccelError as problem:
                self.error = problem
        self.ended.set()

    async def cancel(self):
        self.scope.cancel()
        with anyio.fail_after(PROMPT_S):
            await self.ended.wait()
        assert self.scope.cancelled_caught
        assert self.error is None


@pytest.fixture(params=["own memory", "out"])
def out(request):
    return np.full(8, -1, np.float32) if request.param == "out" else None


async def test_cell_waiting_for_a_credit(plus_path, out):
    async with maccel_aio.Accelerator(ONE_CORE) as acc:
        model = await acc.load(plus_path, max_inflight=1)
        victim = Victim(model, out)
        async with anyio.create_task_group() as group:
            holder = await model.submit(X)
            group.start_soon(victim.run)
            await until(lambda: model.stats().waiting == 1)
            await victim.cancel()
            assert not holder.done()
            assert (model.stats().waiting, model.stats().submitted) == (0, 1)
            assert _guard.claims() == 0
            await holder
        assert acc.stats().submitted == 1


async def test_cell_queued_on_the_device(plus_path, out):
    async with maccel_aio.Accelerator(ONE_CORE) as acc:
        model = await acc.load(plus_path)
        victim = Victim(model, out)
        async with anyio.create_task_group() as group:
            holder = await model.submit(X)
            await until(lambda: acc.stats().running == 1)
            group.start_soon(victim.run)
            await until(lambda: acc.stats().queued == 1)
            await victim.cancel()
            assert not holder.done()
            assert (acc.stats().queued, _guard.claims()) == (0, 0)
            await until(lambda: model.stats().in_flight == 1)
            await holder
        assert (acc.stats().completed, acc.stats().canceled) == (1, 1)
        assert out is None or (out == -1).all()


async def test_an_array_of_a_removed_request_can_be_used_again_at_once(plus_path):
    async with maccel_aio.Accelerator(ONE_CORE) as acc:
        model = await acc.load(plus_path)
        await model.submit(X)
        await until(lambda: acc.stats().running == 1)
        array = np.zeros(8, np.float32)
        for _ in range(3):
            job = model.try_submit(X, out=[array])
            assert job.cancel() is CancelOutcome.REMOVED
        assert (await model.infer(X, out=[array]))[0] is array
        np.testing.assert_array_equal(array, X + 1)


async def test_cell_running_on_the_device(plus_path, out):
    async with maccel_aio.Accelerator(ONE_CORE) as acc:
        model = await acc.load(plus_path, max_inflight=1)
        victim = Victim(model, out)
        async with anyio.create_task_group() as group:
            group.start_soon(victim.run)
            await until(lambda: acc.stats().running == 1)
            await victim.cancel()
            if out is None:  # prompt: the device goes on, and the credit stays taken
                assert (model.stats().abandoned, model.stats().in_flight) == (1, 1)
                with pytest.raises(maccel_aio.QueueFullError):
                    model.try_submit(X)
            else:  # it came back only when the device had let go of the array
                assert (model.stats().abandoned, model.stats().in_flight) == (0, 0)
                assert _guard.claims() == 0
            await until(lambda: model.stats().in_flight == 0)
        assert (await model.infer(X))[0][0] == 1


async def test_cell_hung_on_the_device(plus_path, out):
    acc = maccel_aio.Accelerator(HANGS)
    model = await acc.load(plus_path, cancel_grace=0.03)
    victim = Victim(model, out)
    async with anyio.create_task_group() as group:
        group.start_soon(victim.run)
        await until(lambda: acc.stats().running == 1)
        await victim.cancel()
    assert (model.stats().abandoned, model.stats().in_flight) == (1, 1)
    assert _guard.claims() == (0 if out is None else 1)
    if out is not None:
        with pytest.raises(maccel_aio.BufferInUseError):
            model.try_submit(X, out=[out])
    report = await acc.aclose(drain=0.1)
    assert (report.abandoned, report.timed_out) == (1, True)
    await until(lambda: _graveyard.sweep() == 0 and _guard.claims() == 0)


async def test_a_lost_device_ends_what_hangs_exactly_once(plus_path):
    async with maccel_aio.Accelerator("fault:soft:0?hang_every=3&lose_after=4") as acc:
        model = await acc.load(plus_path)
        jobs = [await model.submit(X + index) for index in range(4)]
        calls: list[Any] = []
        for job in jobs:
            job.add_done_callback(calls.append)
        ends: list[Any] = []
        while len(jobs) < 12:
            try:
                jobs.append(await model.submit(X))
            except maccel_aio.DeviceLostError:
                break
        for job in jobs:
            try:
                ends.append((await job) is not None)
            except maccel_aio.DeviceLostError as problem:
                ends.append(problem.code)
        assert ends.count(True) == 4
        assert set(ends) <= {True, -8}
        await until(lambda: len(calls) == 4)
        assert sorted(calls, key=id) == sorted(jobs[:4], key=id)


async def test_pitfall_01_any_subset_of_a_wakeup_may_be_cancelled(plus_path):
    async with maccel_aio.Accelerator("null:0?inline=1") as acc:
        model = await acc.load(plus_path)
        for mask in range(1, 32):
            victims = [Victim(model, None) for _ in range(5)]
            async with anyio.create_task_group() as group:
                for victim in victims:
                    group.start_soon(victim.run)
                await anyio.lowlevel.checkpoint()
                # All are complete, none is reaped or all are: the loop decides the order.
                for index, victim in enumerate(victims):
                    if mask >> index & 1:
                        victim.scope.cancel()
            for index, victim in enumerate(victims):
                assert victim.error is None
                if not mask >> index & 1:
                    assert victim.ended.is_set()
                    assert not victim.scope.cancelled_caught
            await until(lambda: model.stats().in_flight == 0)


async def test_pitfall_02_no_wakeup_is_lost(plus_path):
    """A completion between the last look and the arming must not sleep for ever."""
    async with maccel_aio.Accelerator("null:0") as acc:
        model = await acc.load(plus_path)

        async def one(count, pause):
            for index in range(count):
                job = model.try_submit(X)
                if index % 3 == pause:
                    await anyio.lowlevel.checkpoint()
                await job

        with anyio.fail_after(50):
            for _ in range(400):
                await model.infer(X)
            async with anyio.create_task_group() as group:
                for pause in range(4):
                    group.start_soon(one, 200, pause)
        assert model.stats().completed == 1200


async def test_pitfall_03_a_burst_beyond_the_budget_arrives_whole(plus_path):
    async with maccel_aio.Accelerator("null:0?inline=1") as acc:
        model = await acc.load(plus_path, max_inflight=1000)
        jobs = [model.try_submit(X) for _ in range(1000)]
        with pytest.raises(maccel_aio.QueueFullError, match="all 1000 credits"):
            model.try_submit(X)
        with anyio.fail_after(20):
            for job in jobs:
                await job
        assert model.stats().completed == 1000


async def test_pitfall_03_others_have_their_turn_during_a_burst(plus_path):
    async with maccel_aio.Accelerator("null:0?inline=1") as acc:
        model = await acc.load(plus_path, max_inflight=1024)
        jobs = [model.try_submit(X) for _ in range(1024)]
        seen = []
        async with anyio.create_task_group() as group:

            async def watches():
                while not jobs[-1].done():
                    seen.append(sum(job.done() for job in jobs))
                    await anyio.lowlevel.checkpoint()

            group.start_soon(watches)
        steps = {count for count in seen if 0 < count < 1024}
        assert steps, "the whole burst was settled in one go"


async def test_pitfall_04_a_late_device_does_not_write_into_memory_that_was_given_back(plus_path):
    async with maccel_aio.Accelerator("fault:soft:0?delay_ms=15") as acc:
        model = await acc.load(plus_path)
        pool = [np.zeros(8, np.float32) for _ in range(3)]
        for round_ in range(6):
            out = pool[round_ % 3]
            with anyio.move_on_after(0.005):
                await model.infer(X, out=[out])
            out[:] = -5  # ours again
            await anyio.sleep(0.02)
            assert (out == -5).all()


async def test_pitfall_05_cancelling_and_closing_a_hung_device_is_bounded(plus_path):
    acc = maccel_aio.Accelerator(HANGS)
    model = await acc.load(plus_path, cancel_grace=0.05)
    began = time.monotonic()
    with anyio.move_on_after(0.02):
        await model.infer(X, out=[np.zeros(8, np.float32)])
    jobs = [await model.submit(X) for _ in range(3)]
    await until(lambda: acc.stats().running == 4)
    report = await acc.aclose(drain=0.2)
    assert time.monotonic() - began < PROMPT_S
    assert (report.abandoned, report.timed_out) == (4, True)
    for job in jobs:
        assert job.done()
        with pytest.raises((maccel_aio.ClosedError, maccel_aio.DeviceLostError)):
            job.result()
    await until(lambda: _graveyard.sweep() == 0 and _guard.claims() == 0)


def broken(job):
    raise LookupError("a callback that fails")


async def test_pitfall_07_completions_out_of_order_keep_their_own_arrays(plus_path):
    async with maccel_aio.Accelerator("fault:soft:0?reorder=1&seed=9&fail_every=4") as acc:
        model = await acc.load(plus_path)
        kept = []
        jobs = []
        for index in range(40):
            out = np.zeros(8, np.float32)
            job = await model.submit(X + index, out=[out])
            job.add_done_callback(broken)
            jobs.append(job)
            kept.append(out)
        for index, (job, out) in enumerate(zip(jobs, kept, strict=True)):
            if index % 4 == 3:
                with pytest.raises(maccel_aio.InferenceError):
                    await job
            else:
                assert (await job)[0] is out
                np.testing.assert_array_equal(out, X + index + 1)
        assert (_guard.claims(), model.stats().in_flight) == (0, 0)


async def test_pitfall_13_native_scopes_and_timeouts(plus_path):
    async with maccel_aio.Accelerator(ONE_CORE) as acc:
        model = await acc.load(plus_path)
        if sniffio.current_async_library() == "trio":
            with trio.move_on_after(0.01) as scope:
                await model.infer(X)
            assert scope.cancelled_caught
            with pytest.raises(trio.TooSlowError):
                with trio.fail_after(0.01):
                    await model.infer(X)
        else:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await model.infer(X)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(model.infer(X), 0.01)
            task = asyncio.ensure_future(model.infer(X))
            await asyncio.sleep(0.005)
            task.cancel("enough")
            with pytest.raises(asyncio.CancelledError, match="enough"):
                await task
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.01):
                await model.infer(X)
        await until(lambda: model.stats().in_flight == 0)
        assert model.stats().abandoned == 0


async def test_pitfall_13_a_failing_sibling_takes_the_request_along(plus_path):
    async with maccel_aio.Accelerator(ONE_CORE) as acc:
        model = await acc.load(plus_path)
        cancelled = []

        async def infers():
            try:
                await model.infer(X)
            except BaseException as problem:
                cancelled.append(type(problem))
                raise

        async def fails():
            await until(lambda: acc.stats().running == 1)
            raise KeyError("sibling")

        with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the group raises
            async with anyio.create_task_group() as group:
                group.start_soon(infers)
                group.start_soon(fails)
        assert [type(problem) for problem in caught.value.exceptions] == [KeyError]
        assert cancelled == [anyio.get_cancelled_exc_class()]
        await until(lambda: model.stats().in_flight == 0)


@pytest.mark.parametrize("where", ["queued", "running"])
async def test_pitfall_14_cancelling_from_another_task_ends_every_waiter(plus_path, where):
    async with maccel_aio.Accelerator(ONE_CORE) as acc:
        model = await acc.load(plus_path)
        first = await model.submit(X)
        await until(lambda: acc.stats().running == 1)
        job = first if where == "running" else await model.submit(X)
        ended = []

        async def waits():
            with pytest.raises(maccel_aio.CancelledRequestError):
                await job
            ended.append(1)

        with anyio.fail_after(PROMPT_S):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(waits)
                await anyio.sleep(0.002)
                outcome = job.cancel()
        expected = CancelOutcome.ABANDONED if where == "running" else CancelOutcome.REMOVED
        assert (outcome, ended) == (expected, [1, 1, 1])
        assert job.cancel() in (expected, CancelOutcome.DONE)
