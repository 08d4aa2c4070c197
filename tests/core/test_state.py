"""State between calls: a KV cache and a recurrent state, in both faces, and calls about them."""

import threading

import anyio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import maccel_aio
import maccel_aio.sync
from maccel_aio import BatchParam
from maccel_aio._core import _blocking_stream
from tests import kvmodel

WEIGHTS = kvmodel.Weights()
X = np.random.default_rng(0).normal(0, 1, (kvmodel.CAPACITY, kvmodel.HIDDEN)).astype(np.float32)
Y = WEIGHTS.expected(X)


@pytest.fixture(scope="session")
def kv_path(tmp_path_factory):
    """Attention in steps of four tokens, three slots."""
    path = tmp_path_factory.mktemp("kv") / "kv.mxq"
    return kvmodel.build(path, tokens=4, slots=3, weights=WEIGHTS)


@pytest.fixture(scope="session")
def sum_path(tmp_path_factory):
    """The next total is total + x, and y twice that."""
    return kvmodel.running_sum(tmp_path_factory.mktemp("sum") / "sum.mxq", slots=2)


@pytest.fixture
async def kv(kv_path):
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(kv_path) as model:
        yield model


def close_to(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=2e-6)


async def test_what_carries_state_is_not_seen(kv):
    assert [spec.name for spec in kv.inputs] == ["x"]
    assert [spec.name for spec in kv.outputs] == ["y"]
    first, second = kv.cache_infos
    assert (first.name, second.name) == ("past_k", "past_v")
    assert (first.slots, first.axis, first.shape) == (3, 1, (1, 40, 8))
    assert first.size == 40 * 8 * 4
    assert first.layer_hash != second.layer_hash


async def test_a_sequence_in_parts_is_the_sequence_at_once(kv):
    (y,) = await kv.infer(X[:11])
    close_to(y, Y[:11])
    for start, stop in [(11, 12), (12, 13), (13, 18), (18, 40)]:
        (y,) = await kv.infer(X[np.newaxis, start:stop], cache_size=start)
        assert y.shape == (1, stop - start, 8)
        close_to(y[0], Y[start:stop])


@settings(max_examples=15)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(0, 2))
def test_any_division_gives_the_same(kv_path, parts, slot):
    with maccel_aio.sync.Accelerator("soft:0") as acc, acc.load(kv_path) as model:
        done = 0
        for part in parts:
            stop = min(done + part, kvmodel.CAPACITY)
            if stop > done:
                params = [BatchParam(stop - done, done, slot)]
                close_to(model.infer(X[done:stop], params=params)[0], Y[done:stop])
            done = stop


async def test_a_smaller_cache_size_rewinds(kv):
    await kv.infer(X[:9])
    await kv.infer(-X[9:20], cache_size=9)
    (y,) = await kv.infer(X[9:20], cache_size=9)
    close_to(y, Y[9:20])
    (y,) = await kv.infer(X[:3])
    close_to(y, Y[:3])


async def test_several_sequences_in_one_call(kv):
    (y,) = await kv.infer(
        np.concatenate([X[:7], X[:2]]), params=[BatchParam(7, 0, 2), BatchParam(2, 0, 0)]
    )
    close_to(y, np.concatenate([Y[:7], Y[:2]]))
    (y,) = await kv.infer(np.stack([X[2], X[7]]), params=[BatchParam(1, 2, 0), BatchParam(1, 7, 2)])
    close_to(y, Y[[2, 7]])


async def test_jobs_in_flight_keep_their_order(kv):
    jobs = [await kv.submit(X[i : i + 1], cache_size=i) for i in range(20)]
    for i, job in enumerate(jobs):
        close_to((await job)[0], Y[i : i + 1])
    job = kv.try_submit(X[20:21], cache_size=20)
    close_to((await job)[0], Y[20:21])
    assert kv.stats().completed == 21


async def test_slots_do_not_meet(kv):
    async def sequence(slot, sign):
        wanted = WEIGHTS.expected(sign * X)
        for i in range(0, 12, 3):
            (y,) = await kv.infer(sign * X[i : i + 3], params=[BatchParam(3, i, slot)])
            close_to(y, wanted[i : i + 3])

    async with anyio.create_task_group() as group:
        for slot, sign in enumerate([1, -1, 0.5]):
            group.start_soon(sequence, slot, np.float32(sign))


def test_threads_share_a_model(kv_path):
    problems = []

    def sequence(model, slot):
        try:
            for i in range(16):
                (y,) = model.infer(X[i : i + 1], params=[BatchParam(1, i, slot)])
                close_to(y, Y[i : i + 1])
        except BaseException as problem:  # noqa: BLE001 - shown by the test
            problems.append(problem)

    with maccel_aio.sync.Accelerator("soft:0") as acc, acc.load(kv_path) as model:
        threads = [threading.Thread(target=sequence, args=(model, slot)) for slot in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        jobs = [model.submit(X[i : i + 1], cache_size=i) for i in range(20)]
        assert jobs[7].result()[0].shape == (1, 8)
        for i, job in enumerate(jobs):
            close_to(job.result()[0], Y[i : i + 1])
    assert problems == []


async def test_the_faces_share_the_state(kv):
    await kv.infer(X[:5])
    twin = maccel_aio.sync.Model.share(kv)
    try:
        (y,) = await anyio.to_thread.run_sync(lambda: twin.infer(X[5:8], cache_size=5))
        close_to(y, Y[5:8])
    finally:
        await anyio.to_thread.run_sync(twin.close)


async def test_outputs_go_where_the_caller_says(kv):
    out = [np.empty((6, 8), np.float32)]
    made = await kv.infer(X[:6], out=out)
    assert made[0] is out[0]
    close_to(out[0], Y[:6])


@pytest.mark.parametrize(
    ("x", "options", "error", "match"),
    [
        (X[:5, :7], {}, maccel_aio.ShapeError, r"x: \(1, tokens, 8\)"),
        (X[:0], {}, maccel_aio.ShapeError, "got"),
        ([X[:5], X[:5]], {}, maccel_aio.ShapeError, "takes 1 arrays, got 2"),
        (X[:5], {"cache_size": 36}, maccel_aio.CacheOverflowError, "5 tokens after 36"),
        (X[:5], {"cache_size": -1}, maccel_aio.InvalidError, "at least 0"),
        (X[:5], {"params": [BatchParam(5, 0, 3)]}, maccel_aio.InvalidError, "slots 0 to 2"),
        (X[:5], {"params": [BatchParam(4, 0, 0)]}, maccel_aio.ShapeError, "4 tokens together"),
        (X[:5], {"params": [BatchParam(5, 0, 0), BatchParam(0, 0, 1)]}, maccel_aio.InvalidError,
         "at least one token"),
        (X[:4], {"params": [BatchParam(2, 0, 0), BatchParam(2, 2, 0)]}, maccel_aio.InvalidError,
         "one sequence"),
        (X[:5], {"params": 5}, maccel_aio.InvalidError, "list of BatchParam"),
        (X[:5], {"out": [np.empty((4, 8), np.float32)]}, maccel_aio.ShapeError, r"\(5, 8\)"),
    ],
)  # fmt: skip
async def test_a_bad_call_is_refused_before_anything_runs(kv, x, options, error, match):
    await kv.infer(X[:2])
    with pytest.raises(error, match=match):
        await kv.infer(x, **options)
    assert kv.stats().submitted == 1


async def test_contents_come_back(kv):
    await kv.infer(X[:6])
    kept = await kv.dump_cache()
    assert sorted(kept) == ["past_k", "past_v"]
    keys = np.frombuffer(kept["past_k"], np.float32).reshape(40, 8)
    close_to(keys[:6], X[:6] @ WEIGHTS.k)
    await kv.infer(-X[:6])
    await kv.load_cache(kept)
    close_to((await kv.infer(X[6:8], cache_size=6))[0], Y[6:8])
    await kv.load_cache(kept, 1)  # another slot
    (y,) = await kv.infer(X[6:8], params=[BatchParam(2, 6, 1)])
    close_to(y, Y[6:8])
    await kv.reset_cache(1, fixed_only=True)
    assert (await kv.dump_cache(1))["past_v"] != bytes(1280)
    await kv.reset_cache(1)
    assert await kv.dump_cache(1) == {"past_k": bytes(1280), "past_v": bytes(1280)}
    assert (await kv.dump_cache(0))["past_k"] != bytes(1280)


@pytest.mark.parametrize(
    ("contents", "slot", "error"),
    [
        ({"past_k": bytes(1276)}, 0, maccel_aio.ShapeError),
        ({"past_v": bytes(1280), "past_k": b""}, 0, maccel_aio.ShapeError),
        ({"keys": bytes(1280)}, 0, maccel_aio.InvalidError),
        ({"past_k": bytes(1280)}, 3, maccel_aio.InvalidError),
        ({"past_k": bytes(1280)}, "0", maccel_aio.InvalidError),
    ],
)
async def test_contents_that_do_not_fit_change_nothing(kv, contents, slot, error):
    await kv.infer(X[:6])
    before = await kv.dump_cache()
    with pytest.raises(error):
        await kv.load_cache(contents, slot)
    assert await kv.dump_cache() == before


async def letters(kv, slot=0):
    """Fill the rows of a slot with 0, 1, 2, ... and return a reader of the first ``n``."""
    rows = np.repeat(np.arange(40, dtype=np.float32), 8).tobytes()
    await kv.load_cache({"past_k": rows, "past_v": rows}, slot)

    async def read(n):
        kept = await kv.dump_cache(slot)
        columns = [np.frombuffer(data, np.float32).reshape(40, 8)[:n, 3] for data in kept.values()]
        np.testing.assert_array_equal(columns[0], columns[1])
        return columns[0].astype(int).tolist()

    return read


async def test_the_worked_example_of_the_tail(kv):
    read = await letters(kv)
    assert await kv.filter_cache_tail(10, 4, [True, False, True, False]) == 8
    assert await read(8) == [0, 1, 2, 3, 4, 5, 6, 8]
    read = await letters(kv, 1)
    assert await kv.move_cache_tail(4, 2, 10, 1) == 6
    assert await read(6) == [0, 1, 2, 3, 8, 9]
    assert await kv.move_cache_tail(3, 3, 6, 1) == 6  # nothing to do
    assert await kv.move_cache_tail(1, 4, 6, 1) == 5  # from and to overlap
    assert await read(5) == [0, 2, 3, 8, 9]


@given(st.integers(0, 40), st.data())
@settings(max_examples=30)
def test_filtering_is_a_selection(kv_path, size, data):
    mask = data.draw(st.lists(st.booleans(), max_size=min(size, 32)))
    with maccel_aio.sync.Accelerator("soft:0") as acc, acc.load(kv_path) as model:
        rows = np.repeat(np.arange(40, dtype=np.float32), 8).tobytes()
        model.load_cache({"past_k": rows})
        left = model.filter_cache_tail(size, len(mask), mask)
        kept = np.frombuffer(model.dump_cache()["past_k"], np.float32).reshape(40, 8)[:left, 0]
        head = size - len(mask)
        wanted = [*range(head), *(head + i for i, keep in enumerate(mask) if keep)]
        assert kept.astype(int).tolist() == wanted


@pytest.mark.parametrize(
    ("call", "arguments", "error"),
    [
        ("filter_cache_tail", (10, 4, [True] * 3), maccel_aio.InvalidError),
        ("filter_cache_tail", (3, 4, [True] * 4), maccel_aio.InvalidError),
        ("filter_cache_tail", (40, 33, [True] * 33), maccel_aio.InvalidError),
        ("filter_cache_tail", (41, 1, [True]), maccel_aio.CacheOverflowError),
        ("filter_cache_tail", (10, 1, [True], 3), maccel_aio.InvalidError),
        ("move_cache_tail", (6, 5, 10), maccel_aio.InvalidError),
        ("move_cache_tail", (-1, 5, 10), maccel_aio.InvalidError),
        ("move_cache_tail", (1, 1, 41), maccel_aio.CacheOverflowError),
    ],
)
async def test_tails_that_are_none_are_refused(kv, call, arguments, error):
    read = await letters(kv)
    with pytest.raises(error):
        await getattr(kv, call)(*arguments)
    assert await read(40) == list(range(40))


async def test_a_model_without_state_says_so(plus):
    assert plus.cache_infos == []
    for call in (plus.dump_cache, plus.reset_cache):
        with pytest.raises(maccel_aio.NoCacheError):
            await call()
    with pytest.raises(maccel_aio.NoCacheError):
        await plus.load_cache({})


async def test_a_recurrent_state_goes_on(sum_path):
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(sum_path) as model:
        assert [info.axis for info in model.cache_infos] == [None]
        total = np.zeros(8, np.float32)
        for row in X[:9]:
            total += row
            (y,) = await model.infer(row)
            np.testing.assert_allclose(y, 2 * total, rtol=1e-5, atol=1e-5)
        (y,) = await model.infer(X[0], params=[BatchParam(cache_id=1)])
        np.testing.assert_array_equal(y, 2 * X[0])
        await model.reset_cache(fixed_only=True)
        (y,) = await model.infer(X[1])
        np.testing.assert_array_equal(y, 2 * X[1])
        async with model.stream(X[2:12]) as stream:
            outputs = [item.outputs[0] async for item in stream]
        wanted = 2 * (X[1] + np.cumsum(X[2:12], axis=0))
        np.testing.assert_allclose(outputs, wanted, rtol=1e-4, atol=1e-5)


async def test_callers_of_a_batch_cannot_share_a_state(sum_path):
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(sum_path) as model:
        with pytest.raises(maccel_aio.UnsupportedError, match="state"):
            async with model.batched():
                pass


async def test_replicas_cannot_share_a_state(sum_path):
    async with maccel_aio.open_pool(["soft:0", "soft:1"]) as pool:
        with pytest.raises(maccel_aio.UnsupportedError, match="state"):
            await pool.load(sum_path)


async def test_the_summary_says_what_is_kept(kv, sum_path):
    assert "state     past_k <- new_k: 3 slots, grows along 1\n" in kv.summary()
    async with maccel_aio.load(sum_path) as model:
        assert "state     total <- next: 2 slots, replaced\n" in model.summary()


async def test_a_cancelled_call_gives_its_turn_to_the_next(kv_path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?delay_ms=30") as acc,
        acc.load(kv_path) as model,
    ):
        jobs = [await model.submit(X[:4]) for _ in range(3)]
        jobs[1].cancel()
        with anyio.move_on_after(0.01) as scope:
            await model.infer(X[:4])
        assert scope.cancelled_caught
        (y,) = await model.infer(X[:4])
        close_to(y, Y[:4])
        await jobs[0]
        await jobs[2]
        with pytest.raises(maccel_aio.CancelledRequestError):
            await jobs[1]


def test_a_wait_for_the_turn_is_bounded(kv_path):
    with (
        maccel_aio.sync.Accelerator("fault:soft:0?delay_ms=200") as acc,
        acc.load(kv_path) as model,
    ):
        job = model.submit(X[:4])
        with pytest.raises(maccel_aio.WaitTimeoutError):
            model.infer(X[:4], timeout=0.02)
        close_to(job.result()[0], Y[:4])


def test_a_call_that_no_thread_could_carry_leaves_its_turn(kv_path, monkeypatch):
    def refuse(function):
        raise RuntimeError("can't start new thread")

    with maccel_aio.sync.Accelerator("soft:0") as acc, acc.load(kv_path) as model:
        with monkeypatch.context() as patch:
            patch.setattr(_blocking_stream._pool, "submit", refuse)
            with pytest.raises(RuntimeError, match="new thread"):
                model.submit(X[:4])
        close_to(model.infer(X[:4], timeout=20)[0], Y[:4])


async def test_closing_ends_calls_that_wait_for_their_turn(kv_path):
    async with maccel_aio.Accelerator("fault:soft:0?delay_ms=30") as acc:
        model = await acc.load(kv_path)
        jobs = [await model.submit(X[:4]) for _ in range(5)]
        await anyio.sleep(0.01)
        report = await model.aclose()
        assert not report.timed_out
        ends = []
        for job in jobs:
            try:
                await job
                ends.append("done")
            except maccel_aio.ClosedError:
                ends.append("closed")
        assert ends[-1] == "closed"
