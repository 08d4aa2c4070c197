"""Scenes in other threads, loops and processes."""

import asyncio
import contextlib
import os
import signal
import threading
from typing import Any

import anyio
import anyio.to_thread
import numpy as np
import trio
import uvloop

import maccel_aio
import maccel_aio.sync
from soaking.scenes import USUAL, World, background, call, crowd

X = np.arange(8, dtype=np.float32)


async def loops(world: World) -> None:
    """Let short-lived event loops of other threads use the model that lives on."""

    async def visit() -> None:
        await crowd(world, world.model, USUAL, 8)

    async def leave() -> None:
        for _ in range(3):
            await world.model.submit(X)

    def uv() -> None:
        uvloop.run(visit())

    def plain() -> None:
        asyncio.run(leave())

    def other() -> None:
        trio.run(visit)

    await anyio.to_thread.run_sync(world.dice.choice([uv, plain, other]))


async def threads(world: World) -> None:
    """Let threads call the blocking face, on the model that lives on."""
    made = maccel_aio.sync.Model.share(world.model)

    def work() -> None:
        for offset in range(10):
            (y,) = made.infer(X + offset)
            world.tally.expect(bool((y == X + offset + 1).all()), "a wrong result in a thread")

    def together() -> None:
        every = [threading.Thread(target=work) for _ in range(3)]
        for thread in every:
            thread.start()
        for thread in every:
            thread.join()
        made.close()

    await anyio.to_thread.run_sync(together)


def _child(world: World) -> int:
    """In the child: what was inherited is dead, what is opened here works. 0 is well."""
    with contextlib.suppress(maccel_aio.ForkedError):
        maccel_aio.sync.Model.share(world.model).infer(X)
        return 2
    with maccel_aio.sync.Accelerator("soft:0") as acc, acc.load(world.path) as model:
        return 0 if bool((model.infer(X)[0] == X + 1).all()) else 3


def _fork(world: World) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 9
    try:
        signal.alarm(30)  # a child that hangs ends, and not well
        code = _child(world)
    finally:
        os._exit(code)


async def forks(world: World) -> None:
    """Fork while the model that lives on is at work; the parent goes on as if nothing was."""
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(background, world)
        await anyio.sleep(0.002)
        pid = _fork(world)
        status: tuple[int, Any] = await anyio.to_thread.run_sync(os.waitpid, pid, 0)
        code = os.waitstatus_to_exitcode(status[1])
        world.tally.expect(code == 0, f"a child ended with {code}")
        group.cancel_scope.cancel()
    await call(world, world.model, USUAL, patient=True)
