"""Blocking calls from async code: what a cancelled caller leaves behind."""

import contextlib
import threading

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from maccel_aio._core._threads import Opening, _Work, run_blocking, run_shielded, shielded


async def test_a_result_or_an_error_comes_back():
    undone: list[object] = []
    assert await run_blocking(lambda: 5, undone.append) == 5

    def fails():
        raise LookupError("inside")

    with pytest.raises(LookupError, match="inside"):
        await run_blocking(fails, undone.append)
    assert undone == []


@pytest.mark.parametrize("fails", [False, True])
async def test_what_was_made_reaches_the_caller_or_is_undone_but_is_never_lost(fails):
    gate, begun = threading.Event(), threading.Event()
    undone: list[object] = []
    got: list[object] = []

    def makes():
        begun.set()
        assert gate.wait(20)
        if fails:
            raise LookupError("inside")
        return "resource"

    async def call():
        with contextlib.suppress(LookupError):
            got.append(await run_blocking(makes, undone.append))

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        while not begun.is_set():  # noqa: ASYNC110 - set by a thread
            await anyio.sleep(0.001)
        group.cancel_scope.cancel()
        gate.set()
    assert got + undone == ([] if fails else ["resource"])


async def test_what_was_made_after_the_wait_was_broken_off_is_undone(monkeypatch):
    """No event loop of today does it, but the wait for a thread may end early."""

    async def breaks_off(work):
        threading.Thread(target=work).start()
        while not work.finished:  # noqa: ASYNC110 - set by a thread
            await anyio.sleep(0.001)
        raise RuntimeError("the loop gives up")

    undone: list[object] = []
    original = anyio.to_thread.run_sync
    calls: list[object] = []

    async def run_sync(function, *args):
        calls.append(function)
        return await (breaks_off(function) if len(calls) == 1 else original(function, *args))

    monkeypatch.setattr(anyio.to_thread, "run_sync", run_sync)
    with pytest.raises(RuntimeError, match="gives up"):
        await run_blocking(lambda: "resource", undone.append)
    assert undone == ["resource"]


async def test_a_caller_that_is_cancelled_before_the_start_starts_nothing():
    ran: list[int] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        await run_blocking(lambda: ran.append(1), lambda _: None)
    assert scope.cancelled_caught
    await anyio.sleep(0.01)
    assert ran == []


def test_start_and_abandonment_exclude_each_other():
    work = _Work(lambda: 1)
    assert work.abandon() is False
    work()
    assert (work.made, work.finished) == ([], False)
    work = _Work(lambda: 2)
    work()
    assert work.abandon() is True
    assert (work.made, work.finished) == ([2], True)


@pytest.mark.parametrize("kind", ["awaitable", "function"])
async def test_shielded_work_ends_although_the_caller_is_cancelled(kind):
    done: list[int] = []

    async def works():
        await anyio.sleep(0.01)
        done.append(1)
        return 7

    def blocks():
        done.append(1)
        return 7

    with anyio.CancelScope() as scope:
        scope.cancel()
        if kind == "awaitable":
            assert await shielded(works()) == 7
        else:
            assert await run_shielded(blocks) == 7
    assert done == [1]


class Resource:
    def __init__(self):
        self.closed = 0

    async def __aenter__(self):
        await anyio.lowlevel.checkpoint()
        return self

    async def __aexit__(self, *_):
        await anyio.lowlevel.checkpoint()
        self.closed += 1


async def test_an_opening_is_awaited_or_entered():
    made: list[Resource] = []

    async def start():
        await anyio.lowlevel.checkpoint()
        made.append(Resource())
        return made[-1]

    assert (await Opening(start)).closed == 0
    async with Opening(start) as resource:
        assert resource is made[1]
        assert resource.closed == 0
    assert [one.closed for one in made] == [0, 1]
    Opening(start)  # neither: nothing starts, and nobody complains
    assert len(made) == 2


async def test_an_opening_closes_after_a_failure_in_its_block():
    resource = Resource()

    async def start():
        await anyio.lowlevel.checkpoint()
        return resource

    with pytest.raises(KeyError):
        async with Opening(start):
            raise KeyError
    assert resource.closed == 1
