"""Pools of leases: fair, bounded, and nothing is lost or lent twice."""

import threading

import anyio
import anyio.to_thread
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import maccel_aio
from maccel_aio import sync
from tests.core import mxqtools
from tests.core.test_jobs import until

X = np.arange(8, dtype=np.float32)


async def test_first_come_first_served(plus):
    pool = plus.buffers(2, shape=(8,))
    order = []

    async def client(number):
        async with pool.lease() as lease:
            order.append(number)
            lease.inputs[0][...] = X + number
            (y,) = await plus.infer(lease)
            np.testing.assert_array_equal(y, X + number + 1)
            await anyio.sleep(0.001)

    async with anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(client, number)
            await until(lambda number=number: len(order) + pool.waiting == number + 1)
    assert order == list(range(12))
    assert (pool.idle, pool.waiting, pool.size) == (2, 0, 2)
    assert "2 idle" in repr(pool)


async def test_leases_come_back_in_any_order(plus):
    async with plus.buffers(3, shape=(8,)) as pool:
        leases = [await pool.lease() for _ in range(3)]
        with pytest.raises(maccel_aio.QueueFullError):
            pool.try_lease()
        for index in (1, 2, 0):
            leases[index].release()
        assert pool.idle == 3


async def test_nobody_overtakes_who_waits(plus):
    pool = plus.buffers(1, shape=(8,))
    held = pool.try_lease()
    got = []

    async def wait():
        async with pool.lease():
            got.append("waiter")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await until(lambda: pool.waiting == 1)
        held.release()
        with pytest.raises(maccel_aio.QueueFullError):  # it is the waiter's by now
            pool.try_lease()
    assert got == ["waiter"]
    pool.try_lease().release()


@pytest.mark.parametrize("granted", [False, True])
async def test_a_cancelled_waiter_hands_its_place_on(plus, granted):
    pool = plus.buffers(1, shape=(8,))
    held = pool.try_lease()
    scope = anyio.CancelScope()
    got = []

    async def first():
        with scope:
            async with pool.lease():
                got.append("first")

    async def second():
        async with pool.lease():
            got.append("second")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await until(lambda: pool.waiting == 1)
        tasks.start_soon(second)
        await until(lambda: pool.waiting == 2)
        if granted:
            held.release()
            scope.cancel()
        else:
            scope.cancel()
            await until(lambda: pool.waiting == 1)
            held.release()
    assert got[-1] == "second"
    assert pool.idle == 1


async def test_the_line_has_a_bound(plus):
    pool = plus.buffers(1, shape=(8,), max_waiting=1)
    held = pool.try_lease()

    async def wait():
        async with pool.lease():
            pass

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await until(lambda: pool.waiting == 1)
        with pytest.raises(maccel_aio.QueueFullError):
            await pool.lease()
        held.release()
    assert pool.idle == 1


async def test_closing_wakes_who_waits(plus):
    pool = plus.buffers(1, shape=(8,))
    held = pool.try_lease()
    failed = []

    async def wait():
        with pytest.raises(maccel_aio.ClosedError):
            await pool.lease()
        failed.append(1)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        tasks.start_soon(wait)
        await until(lambda: pool.waiting == 2)
        await pool.aclose()
    assert len(failed) == 2
    pool.close()
    with pytest.raises(maccel_aio.ClosedError):
        pool.try_lease()
    assert "closed" in repr(pool)
    held.inputs[0][...] = X
    np.testing.assert_array_equal((await plus.infer(held))[0], X + 1)  # it stays valid
    held.release()


@pytest.mark.parametrize(
    ("n", "options"),
    [
        (0, {}), (1, {"max_waiting": -1}), (1, {"dtype": "float64"}), (1, {"shape": (9,)}),
        (1, {"shape": [(8,), (8,)]}), (1, {"shape": (2, -8)}),
    ],
)  # fmt: skip
async def test_what_cannot_be(plus, n, options):
    with pytest.raises(ValueError):  # noqa: PT011 - InvalidError and ShapeError both are
        plus.buffers(n, **options)


async def test_memory_is_taken_when_it_is_lent_and_given_back(plus_path):
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(plus_path) as model:
        async with model.buffers(100, shape=(8,)) as pool:
            assert acc.stats().buffer_bytes == 0
            async with pool.lease():
                assert acc.stats().buffer_bytes == 2 * 4096
            assert acc.stats().buffer_bytes == 2 * 4096
            pool.try_lease().release()  # the place that was never lent comes first in line
        del pool
        assert acc.stats().buffer_bytes == 0


async def test_two_loops_share_a_pool(plus):
    pool = plus.buffers(1, shape=(8,))
    held = pool.try_lease()

    async def elsewhere():
        async with pool.lease() as lease:
            lease.inputs[0][...] = X
            return (await plus.infer(lease))[0].copy()

    made = []

    def thread():
        made.append(anyio.run(elsewhere))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, thread)
        await until(lambda: pool.waiting == 1)
        held.release()
    np.testing.assert_array_equal(made[0], X + 1)
    assert pool.idle == 1


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(1, 4),
    steps=st.lists(st.sampled_from(["take", "submit", "cancel", "release"]), max_size=40),
    seed=st.integers(0, 99),
)
def test_no_place_is_lost_or_lent_twice(tmp_path, n, steps, seed):
    path = tmp_path / "plus.mxq"
    if not path.exists():
        mxqtools.plus(path, 8)

    async def play():
        rng = np.random.default_rng(seed)
        async with maccel_aio.Accelerator("fault:soft:0?delay_ms=1") as acc:
            model = await acc.load(path, cancel_grace=0.0)
            pool, held, jobs = model.buffers(n, shape=(8,)), [], []
            for step in steps:
                if step == "take" and pool.idle:
                    held.append(pool.try_lease())
                elif step == "submit":
                    jobs += [model.try_submit(one) for one in held if not one.in_flight]
                elif step == "cancel" and jobs:
                    jobs.pop(int(rng.integers(len(jobs)))).cancel()
                elif step == "release" and held:
                    held.pop(int(rng.integers(len(held)))).release()
                where = [one.inputs[0].ctypes.data for one in held if not one.in_flight]
                assert len(set(where)) == len(where)
                assert len(held) + pool.idle <= n
                await anyio.sleep(0.0002)
            for one in held:
                one.release()
            await until(lambda: pool.idle == n)
            assert model.stats().in_flight == 0

    anyio.run(play)


def test_threads_get_leases_in_turn(plus_path):
    with sync.Accelerator("soft:0") as acc, acc.load(plus_path) as model:
        pool = model.buffers(2, shape=(8,))

        def work(number):
            for step in range(20):
                with pool.lease() as lease:
                    lease.inputs[0][...] = X + number + step
                    (y,) = model.infer(lease)
                    np.testing.assert_array_equal(y, X + number + step + 1)
                    del y

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (pool.idle, pool.waiting) == (2, 0)
        assert model.stats().completed == 120
