"""Turns: one holder a slot, first come, first served, in threads and event loops together."""

import functools
import threading

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maccel_aio import WaitTimeoutError
from maccel_aio._core._turns import LoopTurn, ThreadTurn, Turn, Turns


@given(st.lists(st.sets(st.integers(0, 3), min_size=1), max_size=8), st.randoms())
def test_each_slot_has_one_holder_and_the_first_of_all_never_waits(wanted, random):
    turns = Turns()
    woken: list[int] = []
    made = [
        Turn(turns, slots, functools.partial(woken.append, i)) for i, slots in enumerate(wanted)
    ]
    waiting = list(made)
    while waiting:
        granted = [turn for turn in waiting if not turn.missing]
        assert waiting[0] in granted
        held = [slot for turn in granted for slot in turn.slots]
        assert len(held) == len(set(held))
        turn = random.choice(waiting)  # also those that give up before their turn
        turn.leave()
        turn.leave()
        waiting.remove(turn)
    assert repr(turns) == "<Turns {}>"
    assert len(woken) == len(set(woken))


def test_who_cannot_be_woken_is_passed_over():
    turns = Turns()
    woken: list[int] = []
    first = Turn(turns, [0], lambda: None)
    Turn(turns, [0], lambda: False)
    Turn(turns, [0], lambda: woken.append(3))
    first.leave()
    assert woken == [3]


def test_a_thread_waits_no_longer_than_it_wants():
    turns = Turns()
    with ThreadTurn(turns, [1]) as first:
        first.wait(None)
        with ThreadTurn(turns, [1]) as second, pytest.raises(WaitTimeoutError):
            second.wait(0.0)


async def test_threads_and_tasks_take_turns():
    turns, order, inside = Turns(), [], []

    def thread(number):
        with ThreadTurn(turns, [0, number % 2]) as turn:
            turn.wait(None)
            inside.append(number)
            assert inside == [number]
            order.append(number)
            inside.remove(number)

    async def task(number):
        async with LoopTurn(turns, [0]) as turn:
            await turn.wait()
            inside.append(number)
            await anyio.lowlevel.checkpoint()
            assert inside == [number]
            order.append(number)
            inside.remove(number)

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(task, number)
            group.start_soon(anyio.to_thread.run_sync, thread, number + 100)
    assert len(order) == 20


async def test_a_cancelled_task_leaves_its_place():
    turns = Turns()
    async with LoopTurn(turns, [0]) as first:
        await first.wait()
        with anyio.move_on_after(0.01):
            async with LoopTurn(turns, [0]) as second:
                await second.wait()
    granted = threading.Event()
    with ThreadTurn(turns, [0]) as last:
        last.wait(0)
        granted.set()
    assert granted.is_set()
