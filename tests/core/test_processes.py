"""Forks and ends of processes, in whatever state the library is: bounded and without a crash."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.core import mxqtools
from tests.core.test_segments import doubling

ROOT = str(Path(__file__).parents[2])
PRELUDE = """
import asyncio, itertools, os, signal, sys, threading, time, warnings
import numpy as np
import maccel_aio, maccel_aio.sync
warnings.simplefilter("ignore")
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in programs of the background
x = np.arange(8, dtype=np.float32)
path, = sys.argv[1:]
"""


def run(tmp_path, path, body):
    """Run a program; it must end by itself, with status 0 and without a complaint."""
    script = tmp_path / "script.py"
    script.write_text(PRELUDE + textwrap.dedent(body))
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(script), str(path)], capture_output=True,
        text=True, timeout=30, check=False, env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip
    assert "Fatal" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture
def segmented(tmp_path):
    return mxqtools.segmented(tmp_path / "segmented.mxq", 8, doubling())


FORK = """
def in_child(function):
    pid = os.fork()
    if pid == 0:
        code = 9
        try:
            signal.alarm(20)  # a child that hangs must not outlive the test
            code = function() or 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def test_pitfall_12_a_child_can_close_what_it_inherited_at_once(tmp_path, plus_path):
    """Work of the parent is in flight: the child must not wait for it, and never touch it."""
    out = run(tmp_path, plus_path, FORK + """
acc = maccel_aio.sync.Accelerator("fault:soft:0?delay_ms=300")
model = acc.load(path)
job = model.submit(x)

async def start():
    twin = await maccel_aio.Accelerator("fault:soft:0?delay_ms=300").load(path)
    return twin, await twin.submit(x)

loop = asyncio.new_event_loop()
twin, other = loop.run_until_complete(start())

def child():
    began = time.monotonic()
    model.close()
    acc.close()
    asyncio.run(twin.aclose())
    return int(time.monotonic() - began > 2.0)

print(in_child(child), job.result()[0][0])

async def wait():
    return await other

print(loop.run_until_complete(wait())[0][0])
loop.run_until_complete(twin.aclose())
""")  # fmt: skip
    assert out == ["0", "1.0", "1.0"]


def test_pitfall_12_every_call_in_a_child_is_a_forked_error(tmp_path, plus_path):
    out = run(tmp_path, plus_path, FORK + """
acc = maccel_aio.Accelerator("soft:0")
model = asyncio.run(acc.load(path)._start())
job = maccel_aio.sync.Model.share(model).submit(x)

def child():
    calls = [
        acc.stats,
        lambda: acc.cores,
        lambda: asyncio.run(model.infer(x)),
        lambda: asyncio.run(acc.open()),
        lambda: asyncio.run(model.speedrun(1)),
        lambda: maccel_aio.sync.Model.share(model).infer(x),
    ]
    for index, call in enumerate(calls):
        try:
            call()
        except maccel_aio.ForkedError:
            continue
        return 10 + index
    return 0

print(in_child(child))
job.result()
print(asyncio.run(model.infer(x))[0][0])
""")  # fmt: skip
    assert out == ["0", "1.0"]


def test_pitfall_12_a_child_has_worker_threads_and_claims_of_its_own(tmp_path, plus_path):
    out = run(tmp_path, plus_path, FORK + """
from maccel_aio._core import _guard

shared = np.zeros(8, np.float32)

def use():
    with maccel_aio.sync.Accelerator("soft:1") as acc, acc.load(path) as model:
        items = list(model.stream([x] * 5, prepare=lambda a: a * 2, finish=lambda y: y[0][1]))
        assert [item.outputs for item in items] == [3.0] * 5
        model.infer(x, out=[shared])
        return int(shared[0] != 1)

assert use() == 0
acc = maccel_aio.sync.Accelerator("fault:soft:0?delay_ms=200")
model = acc.load(path)
held = model.submit(x, out=[shared])
print(in_child(use), _guard.claims())
held.result()
model.close()
acc.close()
""")  # fmt: skip
    assert out == ["0", "1"]


def test_pitfall_12_a_child_keeps_no_descriptor_of_the_lookout(tmp_path, plus_path):
    out = run(tmp_path, plus_path, FORK + """
from maccel_aio._core._lookout import lookout

def tell(model):
    told = threading.Event()
    model.submit(x).add_done_callback(lambda _: told.set())
    assert told.wait(20)

def child():
    for end in wake:
        try:
            os.fstat(end)
            return 1
        except OSError:
            pass
    with maccel_aio.sync.Accelerator("fault:soft:1?delay_ms=5") as acc, acc.load(path) as own:
        tell(own)

with maccel_aio.sync.Accelerator("fault:soft:0?delay_ms=5") as acc, acc.load(path) as model:
    tell(model)
    wake = lookout._wake
    print(in_child(child))
    tell(model)
""")  # fmt: skip
    assert out == ["0"]


def test_pitfall_12_a_fork_while_other_threads_infer(tmp_path, plus_path):
    out = run(tmp_path, plus_path, FORK + """
acc = maccel_aio.sync.Accelerator("soft:0")
model = acc.load(path)
stop = threading.Event()
bad = []

def hammer(offset):
    out = np.zeros(8, np.float32)
    while not stop.is_set():
        if model.infer(x + offset, out=[out])[0][0] != offset + 1:
            bad.append(offset)

threads = [threading.Thread(target=hammer, args=(i,)) for i in range(3)]
for thread in threads:
    thread.start()

def child():
    out = np.zeros(8, np.float32)
    with maccel_aio.sync.Accelerator("soft:0") as own, own.load(path) as mine:
        return int(mine.infer(x, out=[out])[0][0] != 1)

codes = [in_child(child) for _ in range(8)]
stop.set()
for thread in threads:
    thread.join()
print(sum(codes), len(bad))
model.close()
acc.close()
""")  # fmt: skip
    assert out == ["0", "0"]


@pytest.mark.parametrize("device", ["fault:soft:0?delay_ms=100", "fault:soft:0?hang_every=1"])
def test_pitfall_09_the_end_comes_although_segments_run(tmp_path, segmented, device):
    """Background jobs run in threads: the interpreter must not wait for a device that hangs."""
    out = run(tmp_path, segmented, f"""
model = maccel_aio.sync.Accelerator({device!r}).load(path)
job = model.submit(x)

async def main():
    twin = await maccel_aio.Accelerator({device!r}).load(path)
    await twin.submit(x, out=[np.zeros(8, np.float32)])

asyncio.run(main())
print("end")
""")  # fmt: skip
    assert out == ["end"]


def test_pitfall_09_the_end_comes_in_the_middle_of_streams(tmp_path, plus_path):
    out = run(tmp_path, plus_path, """
async def main():
    model = await maccel_aio.Accelerator("fault:soft:0?delay_ms=20").load(path)
    stream = model.stream(itertools.repeat(x), prepare=lambda a: a, finish=lambda y: y)
    await stream.__aenter__()
    await anext(stream)
    print("seen", flush=True)
    raise SystemExit(0)

endless = maccel_aio.sync.Accelerator("soft:0").load(path).stream(itertools.repeat(x))
next(endless)
asyncio.run(main())
""")  # fmt: skip
    assert out[:1] == ["seen"]


def test_pitfall_09_a_thread_that_waits_does_not_hold_the_end(tmp_path, plus_path):
    out = run(tmp_path, plus_path, """
model = maccel_aio.sync.Accelerator("fault:soft:0?hang_every=1").load(path)
threading.Thread(target=model.infer, args=(x,), daemon=True).start()
while not model.stats().in_flight:
    time.sleep(0.001)
print("end")
""")  # fmt: skip
    assert out == ["end"]


def test_pitfall_09_an_exception_that_nobody_catches(tmp_path, plus_path):
    script = tmp_path / "script.py"
    script.write_text(
        PRELUDE
        + textwrap.dedent("""
        async def main():
            async with maccel_aio.Accelerator("fault:soft:0?delay_ms=50") as acc:
                async with acc.load(path) as model:
                    for _ in range(4):
                        await model.submit(x)
                    raise LookupError("the program is wrong")

        asyncio.run(main())
    """)
    )
    done = subprocess.run(
        [sys.executable, str(script), str(plus_path)], capture_output=True, text=True, timeout=30,
        check=False, env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.strip().endswith("LookupError: the program is wrong")


@pytest.mark.parametrize("where", ["infer", "out", "result", "stream", "segments"])
def test_an_interrupt_ends_a_blocking_wait_and_leaves_everything_usable(
    tmp_path, plus_path, segmented, where
):
    path = segmented if where == "segments" else plus_path
    out = run(tmp_path, path, f"""
acc = maccel_aio.sync.Accelerator("fault:soft:0?hang_every=2")
model = acc.load(path, cancel_grace=0.05)
if {where!r} != "segments":
    model.infer(x)
out = np.zeros(8, np.float32)
calls = {{
    "infer": lambda: model.infer(x),
    "segments": lambda: model.infer(x),
    "out": lambda: model.infer(x, out=[out]),
    "result": lambda: model.submit(x).result(),
    "stream": lambda: list(model.stream([x] * 3)),
}}
timer = threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT))
timer.start()
try:
    calls[{where!r}]()
except KeyboardInterrupt:
    print("interrupted")
timer.join()
if {where!r} == "out":
    try:
        model.infer(x, out=[out])
    except maccel_aio.BufferInUseError:
        print("quarantined")
elif {where!r} != "stream" and {where!r} != "segments":
    print(model.infer(x)[0][0])
report = acc.close(drain=0.1)
print(report.timed_out)
""")  # fmt: skip
    assert out[0] == "interrupted"
    assert out[-1] == "True"
    assert {"out": "quarantined", "infer": "1.0", "result": "1.0"}.get(where, out[0]) in out


def test_pitfall_11_objects_are_made_before_any_loop_runs(tmp_path, plus_path):
    out = run(tmp_path, plus_path, """
import trio, uvloop

acc = maccel_aio.Accelerator("soft:0")
model = maccel_aio.Model(path)
opening = acc.load(path)

async def first():
    await model.launch(acc)
    return (await model.infer(x))[0][0]

async def later():
    return (await model.infer(x))[0][0]

async def last():
    async with opening as second:
        print((await second.infer(x))[0][0])
    await acc.aclose()

print(uvloop.run(first()), asyncio.run(later()), trio.run(later))
asyncio.run(last())
""")  # fmt: skip
    assert out == ["1.0"] * 4
