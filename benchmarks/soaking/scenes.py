"""What happens in a soak: scenes in random order, each a minute of life in a few milliseconds."""

import contextlib
import dataclasses
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import numpy as np

import maccel_aio
from maccel_aio.testing import faulty_accelerator
from soaking.tally import Tally

#: How a call may end besides well.
USUAL = {"QueueFullError", "DeadlineError"}
CLOSING = USUAL | {"ClosedError", "CancelledRequestError"}
FAULTY = CLOSING | {"InferenceError", "DeviceLostError"}


@dataclasses.dataclass
class World:
    """What scenes share."""

    path: Path
    dice: random.Random
    tally: Tally
    #: Lives as long as the soak.
    model: maccel_aio.Model


async def call(world: World, model: Any, allowed: set[str], patient: bool = False) -> None:
    """Infer once, with what the dice say; check the result and count the end."""
    dice, tally = world.dice, world.tally
    tally.calls += 1
    x = np.full(8, dice.randrange(1000), np.float32)
    options: dict[str, Any] = {"priority": dice.randrange(-2, 3)}
    if dice.random() < 0.2:
        options["deadline"] = dice.random() * 0.01
    if dice.random() < 0.2:
        options["out"] = [np.zeros(8, np.float32)]
    patience = 60.0 if patient else dice.choice([60.0, dice.random() * 0.01])
    end = "cancelled"
    try:
        with anyio.move_on_after(patience):
            (y,) = await model.infer(x, **options)
            end = "ok"
            tally.expect(bool((y == x + 1).all()), "a wrong result")
    except maccel_aio.MaccelError as error:
        end = type(error).__name__
        tally.expect(end in allowed, f"unexpected {error!r}")
    tally.outcomes[end] += 1


async def crowd(world: World, model: Any, allowed: set[str], count: int) -> None:
    """Let many call at one time."""
    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(call, world, model, allowed)
            if world.dice.random() < 0.1:
                await anyio.lowlevel.checkpoint()


async def calls(world: World) -> None:
    """Use the model that lives on."""
    await crowd(world, world.model, USUAL, world.dice.randrange(1, 64))


async def reopen(world: World) -> None:
    """Open another device, load, use and close, in or out of order."""
    dice = world.dice
    acc = maccel_aio.Accelerator(f"soft:{dice.randrange(1, 4)}")
    model = await acc.load(world.path, max_inflight=dice.choice([None, 1, 3]), hooks=world.tally)
    await crowd(world, model, USUAL, dice.randrange(1, 16))
    if dice.random() < 0.5:
        await model.aclose()
    report = await acc.aclose()
    world.tally.expect(not report.timed_out, "an idle device did not close")


async def close_midway(world: World) -> None:
    """Close a model, or its accelerator, while calls run and wait."""
    dice = world.dice
    async with faulty_accelerator(delay=0.002, seed=dice.randrange(1000)) as acc:
        model = await acc.load(world.path, max_inflight=4, max_waiting=16, hooks=world.tally)
        async with anyio.create_task_group() as group:
            group.start_soon(crowd, world, model, CLOSING, 24)
            await anyio.sleep(dice.random() * 0.01)
            closes: list[maccel_aio.Model | maccel_aio.Accelerator] = [model, acc]
            await dice.choice(closes).aclose(drain=dice.choice([0.0, 1.0]))


def _faults(dice: random.Random) -> dict[str, Any]:
    """Return what goes wrong: one or two things."""
    every: dict[str, Any] = {
        "fail_every": dice.randrange(1, 9), "fail_rate": dice.random(),
        "hang_every": dice.randrange(3, 20), "lose_after": dice.randrange(0, 40),
        "duplicate_every": dice.randrange(1, 9), "reorder": True,
        "delay": dice.random() * 0.003,
    }  # fmt: skip
    return {name: every[name] for name in dice.sample(sorted(every), dice.choice([1, 2]))}


async def faults(world: World) -> None:
    """Call a device that fails, hangs, loses itself, doubles and reorders."""
    dice = world.dice
    acc = faulty_accelerator(seed=dice.randrange(10**6), **_faults(dice))
    async with acc, anyio.create_task_group() as group:
        try:
            model = await acc.load(
                world.path, max_inflight=dice.choice([2, 8, 64]), hooks=world.tally,
                cancel_grace=0.01,
            )  # fmt: skip
        except maccel_aio.DeviceLostError:
            return
        group.start_soon(crowd, world, model, FAULTY, dice.randrange(1, 48))
        await anyio.sleep(dice.random() * 0.02)
        stats = acc.stats()
        world.tally.expect(stats.overflow == 0, "a completion queue overflowed")
        await acc.aclose(drain=0.05)


async def streams(world: World) -> None:
    """Stream with any policy; leave at the end, or in the middle."""
    dice = world.dice
    length, leave = dice.randrange(1, 60), dice.choice([1000, dice.randrange(1, 20)])

    async def frames() -> AsyncIterator[np.ndarray[Any, Any]]:
        for index in range(length):
            if dice.random() < 0.1:
                await anyio.sleep(0.0005)
            yield np.full(8, index, np.float32)

    stream = world.model.stream(
        frames(), depth=dice.randrange(1, 9), order=dice.choice(["submit", "complete"]),
        overflow=dice.choice(["block", "drop_new", "drop_old", "latest"]),
        prepare=dice.choice([None, np.copy]), finish=dice.choice([None, list]),
    )  # fmt: skip
    seen = 0
    async with stream as items:
        async for item in items:
            seen += 1
            world.tally.expect(item.outputs[0][0] == item.index + 1, "a wrong item of a stream")
            if seen >= leave:
                break
    stats = stream.stats()
    told = stats.delivered + stats.dropped + stats.failed + stats.in_flight
    world.tally.expect(stats.produced == told, f"a stream lost count: {stats}")
    world.tally.expect(stats.delivered == seen, "a stream delivered what nobody saw")


async def batches(world: World) -> None:
    """Share requests."""
    dice = world.dice
    wait = dice.choice([0.0, 0.001])
    async with world.model.batched(max_batch=dice.randrange(1, 9), max_wait=wait) as batched:
        await crowd(world, batched, USUAL, dice.randrange(1, 48))


async def pools(world: World) -> None:
    """Use two devices, one of which is lost in the middle."""
    dice = world.dice
    lost = faulty_accelerator(lose_after=dice.randrange(1, 10), seed=dice.randrange(1000))
    async with (
        lost,
        maccel_aio.open_pool([lost, "soft:5"]) as pool,
        pool.load(world.path, hooks=world.tally) as model,
    ):
        await crowd(world, model, USUAL | {"DeviceLostError"}, dice.randrange(1, 32))


async def background(world: World) -> None:
    """Keep the model that lives on busy until it is cancelled."""
    with contextlib.suppress(maccel_aio.ClosedError):
        while True:
            await call(world, world.model, USUAL, patient=True)
            await anyio.sleep(0.001)
