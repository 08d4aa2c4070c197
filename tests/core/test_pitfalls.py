"""Pitfalls of the process around the runtime: the GIL, busy loops, descriptors, platforms.

Shown to fail:
8: with a doorbell that takes the GIL (``mx_notify_ring`` that calls ``PyGILState_Ensure``).
22: with ``LoopModel.arrays`` that converts large arrays itself, and with ``load`` without a thread.
26: with ``Reactor.dispose`` that closes the ring and leaves its reader in the poller.
27: with ``mx_notify_open`` that knows no pipe; with ``watch`` that lets the loop's own error out.
28: with a port that is shared by loops (``_find_port`` without ``is_usable``).
"""

import asyncio
import ctypes
import gc
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import uvloop

import maccel_aio
import maccel_aio.sync
from maccel_aio._core import _binding
from maccel_aio._core._reactor import reactor_for
from tests.core import mxqtools

ROOT = str(Path(__file__).parents[2])
X = np.arange(8, dtype=np.float32)
RUNNERS = [pytest.param(asyncio.run, id="asyncio"), pytest.param(uvloop.run, id="uvloop")]


@pytest.mark.parametrize("face", ["async", "sync"])
def test_pitfall_08_the_device_goes_on_while_a_thread_holds_the_gil(plus_path, face):
    """What completes during one long hold of the GIL was posted by threads that do not need it."""
    hold = ctypes.PyDLL(None).usleep  # keeps the GIL, unlike CDLL

    async def main():
        async with maccel_aio.Accelerator("fault:soft:0?delay_ms=1") as acc:
            model = await acc.load(plus_path, max_inflight=32)
            jobs = [model.try_submit(X) for _ in range(20)]
            hold(900_000)
            released = time.monotonic_ns()
            for job in jobs:
                await job
            return [job.timing.t_done for job in jobs], released

    def blocking():
        with (
            maccel_aio.sync.Accelerator("fault:soft:0?delay_ms=1") as acc,
            acc.load(plus_path, max_inflight=32) as model,
        ):
            jobs = [model.submit(X) for _ in range(20)]
            hold(900_000)
            released = time.monotonic_ns()
            for job in jobs:
                job.result()
            return [job.timing.t_done for job in jobs], released

    done, released = asyncio.run(main()) if face == "async" else blocking()
    assert max(done) < released


class Busiest(asyncio.SelectorEventLoop):
    """Remembers the most CPU time that the loop's thread took between two polls."""

    most = 0.0

    def _run_once(self) -> None:
        began = time.thread_time()
        super()._run_once()  # type: ignore[misc]  # the documented place to measure a turn
        self.most = max(self.most, time.thread_time() - began)


def test_pitfall_22_no_turn_of_the_loop_computes(tmp_path):
    """A model of 16 MiB and arrays of 32: reading, checking and converting take far more than 5 ms.

    Counted in CPU time of the loop's thread, so that a busy machine changes nothing.
    """
    numbers = 8 << 20
    weights = np.ones((4096, 4096), np.int8)
    big = mxqtools.conv(tmp_path / "big.mxq", weights, 1, 1)
    wide = mxqtools.plus(tmp_path / "wide.mxq", numbers)
    doubles = np.zeros(numbers)

    async def use(acc):
        async with acc.load(big) as model:
            await model.infer(np.zeros(model.inputs[0].shape, np.float32))
        async with acc.load(wide) as model:
            (y,) = await model.infer(doubles)
            assert y[-1] == 1
            await (await model.submit(doubles))

    async def main(loop):
        async with maccel_aio.Accelerator("soft:0") as acc:
            async with acc.load(wide) as model:  # imports, threads, caches
                await model.infer(doubles)
            loop.most = 0.0
            await use(acc)
        return loop.most

    loop = Busiest()
    gc.collect()
    gc.disable()  # a collection counts for nobody: it goes through all that the suite has imported
    try:
        assert loop.run_until_complete(main(loop)) < 0.005
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        gc.enable()
        loop.close()


@pytest.mark.parametrize("run", RUNNERS)
def test_pitfall_26_a_descriptor_that_is_used_again_gets_its_own_events_only(plus_path, run):
    """10 000 rings come and go in one loop; sockets take over the numbers of their descriptors."""

    async def main():
        async with maccel_aio.Accelerator("null:0") as acc:
            loop, device, reused = asyncio.get_running_loop(), acc._here(), 0
            for index in range(10_000):
                reactor = reactor_for(device)
                fd = reactor.ring.fd
                _binding.notify(reactor.ring.handle)  # an event of it is pending
                reactor.dispose()
                if index % 10 == 0:
                    reused += await _take_over(loop, fd)
                if index % 200 == 0:
                    await _open_and_close(plus_path)
            return reused

    assert run(main()) > 500


async def _open_and_close(path):
    """Leave a request behind that completes, and is reaped, at the end."""
    async with maccel_aio.Accelerator("null:1") as acc, acc.load(path) as model:
        await model.infer(X)
        await model.submit(X)


async def _take_over(loop, fd):
    """Poll a socket; return whether it has that number. It must not hear of a ring's event."""
    ours, theirs = socket.socketpair()
    heard = []
    with ours, theirs:
        ours.setblocking(False)
        loop.add_reader(ours, lambda: heard.append(ours.recv(16)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert heard == []
        theirs.send(b"word")
        while not heard:  # noqa: ASYNC110 - a list
            await asyncio.sleep(0)
        loop.remove_reader(ours)
        assert heard == [b"word"]
        return fd in (ours.fileno(), theirs.fileno())


NO_EVENTFD = """
import ctypes, os, struct

# A filter for system calls as a container's: eventfd2 ends in ENOSYS, everything else is allowed.
number = {"x86_64": 290, "aarch64": 19}[os.uname().machine]
load, equal, give = 0x20, 0x15, 0x06
ops = [(load, 0, 0, 0), (equal, 0, 1, number), (give, 0, 0, 0x50000 | 38), (give, 0, 0, 0x7fff0000)]
code = b"".join(struct.pack("=HBBI", *op) for op in ops)
held = ctypes.create_string_buffer(code)
program = struct.pack("@HxxxxxxP", len(ops), ctypes.addressof(held))
prctl = ctypes.CDLL(None, use_errno=True).prctl
prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
assert prctl(38, 1, None, 0, 0) == 0
if prctl(22, 2, ctypes.create_string_buffer(program), 0, 0) != 0:
    print("no filter")
    os._exit(0)
try:
    os.eventfd(0)
    os._exit(3)
except OSError:
    pass
"""


def test_pitfall_27_a_container_without_eventfd(tmp_path, plus_path):
    script = tmp_path / "script.py"
    script.write_text(
        NO_EVENTFD
        + textwrap.dedent("""
        import asyncio, sys
        import numpy as np
        import trio
        import maccel_aio, maccel_aio.sync

        x = np.arange(8, dtype=np.float32)

        async def main():
            async with maccel_aio.Accelerator("soft:0") as acc, acc.load(sys.argv[1]) as model:
                jobs = [await model.submit(x + index) for index in range(200)]
                sums = [float((await job)[0][0]) for job in jobs]
                assert sums == [index + 1.0 for index in range(200)]
                ring = next(iter(acc._here().reactors.values())).ring
                return os.readlink(f"/proc/self/fd/{ring.fd}").partition(":")[0]

        print(asyncio.run(main()), trio.run(main))
        with maccel_aio.sync.load(sys.argv[1]) as model:
            print(model.infer(x)[0][0])
        """)
    )
    done = subprocess.run(
        [sys.executable, str(script), str(plus_path)], capture_output=True, text=True, timeout=60,
        check=False, env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if done.stdout.strip() == "no filter":
        pytest.skip("this system lets nobody filter system calls")
    assert done.stdout.split() == ["pipe", "pipe", "1.0"]


class Proactor(asyncio.SelectorEventLoop):
    """A loop that cannot poll descriptors, as that of Windows."""

    add_reader = asyncio.AbstractEventLoop.add_reader


def test_pitfall_27_a_loop_that_cannot_poll_says_so(plus_path):
    """And leaves nothing behind: the ring's descriptor is closed, the model works elsewhere."""

    async def refused(acc):
        model = await acc.load(plus_path)
        for _ in range(3):
            with pytest.raises(maccel_aio.UnsupportedError, match=r"Proactor cannot poll.*sync"):
                await model.infer(X)
        return model

    acc = maccel_aio.Accelerator("soft:0")
    loop = Proactor()
    try:
        model = loop.run_until_complete(refused(acc))
        fds = len(os.listdir("/proc/self/fd"))
        loop.run_until_complete(refused(acc))
        assert len(os.listdir("/proc/self/fd")) == fds
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    assert asyncio.run(_infer(model))[0][0] == 1
    asyncio.run(acc.aclose())


async def _infer(model):
    return await model.infer(X)


async def live(model, first, wrong):
    """Submit sixteen requests, cancel every fourth; note what happened to another's."""
    jobs = [await model.submit(X + first + index) for index in range(16)]
    for job in jobs[::4]:
        job.cancel()
    for index, job in enumerate(jobs):
        try:
            if (await job)[0][0] != first + index + 1:
                wrong.append("another's result")
        except maccel_aio.CancelledRequestError:
            if index % 4:
                wrong.append("cancelled by another")


def in_parallel(count, work):
    """Run ``work(number)`` in threads that start together; switch between them all the time."""
    start = threading.Barrier(count)

    def begin(number):
        start.wait(20)
        work(number)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=begin, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(interval)


def test_pitfall_28_threads_that_run_at_the_same_moment(plus_path):
    """Loops of four threads submit, await and cancel on one model, over and over.

    With a GIL the interpreter switches between them every 10 us; without one they are parallel.
    """
    acc = maccel_aio.Accelerator("soft:0")
    wrong: list[str] = []
    model = asyncio.run(_load(acc, plus_path))

    def work(number):
        for turn in range(15):
            asyncio.run(live(model, 1000 * number + turn, wrong))

    in_parallel(4, work)
    stats = model.stats()
    assert wrong == []
    assert stats.completed + stats.cancelled == stats.submitted == 4 * 15 * 16
    assert stats.in_flight == stats.waiting == 0
    asyncio.run(acc.aclose())


async def _load(acc, path):
    return await acc.load(path)
