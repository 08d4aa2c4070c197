"""Several loops, threads, forks and the end of the interpreter."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time

import anyio
import numpy as np
import pytest
import trio
import uvloop

import maccel_aio
import maccel_aio.sync

X = np.arange(8, dtype=np.float32)


def in_threads(*functions):
    errors = []

    def guarded(function):
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - shown by the main thread
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    if errors:
        raise errors[0]  # with its traceback
    assert not any(thread.is_alive() for thread in threads)


async def burst(model, offset, count=50):
    async def one(index):
        (y,) = await model.infer(X + offset + index)
        np.testing.assert_array_equal(y, X + offset + index + 1)

    async with anyio.create_task_group() as group:
        for index in range(count):
            group.start_soon(one, index)


def test_pitfall_10_loops_of_all_kinds_and_blocking_threads_share_one_model(plus_path):
    acc = maccel_aio.sync.Accelerator("soft:0")
    shared = acc.load(plus_path)
    accelerator = maccel_aio.Accelerator("soft:0")
    model = asyncio.run(_load(accelerator, plus_path))

    def blocking():
        twin = maccel_aio.sync.Model.share(model)
        for index in range(100):
            np.testing.assert_array_equal(twin.infer(X + index)[0], X + index + 1)
        twin.close()

    in_threads(
        lambda: asyncio.run(burst(model, 100)),
        lambda: asyncio.run(burst(model, 200), debug=True),
        lambda: uvloop.run(burst(model, 300)),
        lambda: trio.run(burst, model, 400),
        blocking,
        lambda: [shared.infer(X) for _ in range(50)],
    )
    assert model.stats().completed == 200
    asyncio.run(accelerator.aclose())
    acc.close()


def test_pitfall_10_a_model_survives_many_loops_one_after_the_other(plus_path):
    acc = maccel_aio.Accelerator("soft:0")
    model = asyncio.run(_load(acc, plus_path))
    for round_ in range(10):
        runner = [asyncio.run, uvloop.run][round_ % 2]
        runner(burst(model, round_, 5))
        trio.run(burst, model, round_, 5)
    device = acc._here()
    assert model.stats().completed == 100
    assert len(device.reactors) <= 2  # those of ended loops are gone
    asyncio.run(acc.aclose())


async def _load(acc, path):
    return await acc.load(path)


def test_pitfall_10_a_loop_that_ends_with_work_in_flight_harms_nobody(plus_path):
    acc = maccel_aio.Accelerator("fault:soft:0?delay_ms=50")
    model = asyncio.run(_load(acc, plus_path))

    async def abandon():
        for index in range(4):
            await model.submit(X + index)

    asyncio.run(abandon())
    trio.run(abandon)
    gc.collect()
    asyncio.run(burst(model, 0, 3))
    asyncio.run(acc.aclose())


async def test_a_job_belongs_to_its_loop(plus):
    job = await plus.submit(X)

    async def other():
        with pytest.raises(maccel_aio.WrongLoopError):
            await job

    thread = threading.Thread(target=lambda: asyncio.run(other()))
    thread.start()
    await anyio.to_thread.run_sync(thread.join)
    await job


async def test_closing_in_one_loop_ends_the_work_of_another(plus_path):
    acc = maccel_aio.Accelerator("fault:soft:0?cores=1&delay_ms=30")
    model = await acc.load(plus_path, max_inflight=4)
    started = threading.Event()
    ends = []

    async def victim():
        async def one():
            try:
                await model.infer(X)
                ends.append("ok")
            except maccel_aio.ClosedError:
                ends.append("closed")

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(one)
            await anyio.sleep(0.01)
            started.set()

    thread = threading.Thread(target=lambda: asyncio.run(victim()))
    thread.start()
    await anyio.to_thread.run_sync(started.wait)
    with anyio.fail_after(20):
        await acc.aclose(drain=5)
    await anyio.to_thread.run_sync(thread.join)
    assert sorted(set(ends)) in (["closed", "ok"], ["closed"])
    assert len(ends) == 8


async def test_opening_and_closing_again_and_again(plus_path):
    for index in range(20):
        async with maccel_aio.Accelerator("soft:0") as acc, acc.load(plus_path) as model:
            (y,) = await model.infer(X + index)
            np.testing.assert_array_equal(y, X + index + 1)
    assert len(os.listdir("/proc/self/fd")) < 200


def test_what_is_not_closed_is_reported(plus_path):
    async def forget():
        acc = maccel_aio.Accelerator("null:7")
        await acc.load(plus_path)
        return acc

    acc = asyncio.run(forget())
    device, model = acc._device, next(iter(acc._models.values()))
    acc._models.clear()
    model._accelerator = None
    resident = model._resident
    with pytest.warns(ResourceWarning, match="never closed") as caught:  # noqa: PT031 - both
        del acc, model
        limit = time.monotonic() + 20
        # A worker thread of the loop that ended may hold the accelerator a little longer.
        while len(caught) < 2 and time.monotonic() < limit:
            gc.collect()
            time.sleep(0.001)
    assert len(caught) == 2
    resident.unload()
    device.release(1.0)


def run_script(text, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(text)
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", str(script)], capture_output=True, text=True,
        timeout=40, check=False, cwd=os.getcwd(), env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip


def test_a_child_process_gets_forked_error_and_the_parent_goes_on(plus_path, tmp_path):
    done = run_script(
        f"""
import asyncio, os, sys
import numpy as np
import maccel_aio, maccel_aio.sync
x = np.arange(8, dtype=np.float32)

async def load():
    acc = maccel_aio.Accelerator("soft:0")
    model = await acc.load({str(plus_path)!r})
    await model.infer(x)
    return acc, model

acc, model = asyncio.run(load())
twin = maccel_aio.sync.Model.share(model)
twin.infer(x)
pid = os.fork()
if pid == 0:
    code = 0
    for call in (lambda: asyncio.run(model.infer(x)), lambda: twin.infer(x)):
        try:
            call()
            code = 1
        except maccel_aio.ForkedError:
            pass
    with maccel_aio.sync.Accelerator("soft:0") as own, own.load({str(plus_path)!r}) as fresh:
        code |= 2 * int(fresh.infer(x)[0][0] != 1)
    sys.stdout.flush()
    os._exit(code)
_, status = os.waitpid(pid, 0)
print("child", os.waitstatus_to_exitcode(status))
print("parent", asyncio.run(model.infer(x))[0][0], twin.infer(x)[0][0])
twin.close()
asyncio.run(acc.aclose())
""",
        tmp_path,
    )
    assert done.stdout.split() == ["child", "0", "parent", "1.0", "1.0"], done.stderr


@pytest.mark.parametrize("device", ["fault:soft:0?delay_ms=200", "fault:soft:0?hang_every=1"])
@pytest.mark.parametrize("face", ["async", "sync"])
def test_the_interpreter_ends_with_work_in_flight(plus_path, tmp_path, device, face):
    done = run_script(
        f"""
import asyncio, warnings
import numpy as np
import maccel_aio, maccel_aio.sync
warnings.simplefilter("ignore")
x = np.arange(8, dtype=np.float32)

async def main():
    model = await maccel_aio.Accelerator({device!r}).load({str(plus_path)!r})
    job = await model.submit(x, out=[np.zeros(8, np.float32)])
    job.add_done_callback(print)

if {face!r} == "async":
    asyncio.run(main())
else:
    model = maccel_aio.sync.Accelerator({device!r}).load({str(plus_path)!r})
    job = model.submit(x)
print("end")
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("end")
    assert "Fatal" not in done.stderr
