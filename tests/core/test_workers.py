"""Servers that fork their workers, and processes that are spawned: pre-fork, preload, pools.

Shown to fail: without ``_mark_forked``: workers use, and wait for, what only their parent has.
"""

import multiprocessing

import numpy as np
import pytest

import maccel_aio
import maccel_aio.sync
from tests.core.test_processes import FORK, run

X = np.arange(8, dtype=np.float32)

MASTER = (
    FORK
    + """
import uvloop

# What a server with preload has done before it forks: a device opened, a model loaded and used, a
# request in flight, a loop that ended; and a model made and not opened.
acc = maccel_aio.Accelerator("fault:soft:0?delay_ms=50")
held = maccel_aio.sync.Accelerator("fault:soft:0?delay_ms=50").load(path)
used = asyncio.run(acc.load(path)._start())
asyncio.run(used.infer(x))
fresh = maccel_aio.Model(path)
pending = held.submit(x)

async def serve(model, stop):
    answered = 0
    while not stop.is_set():
        outputs = await asyncio.gather(*(model.infer(x + n) for n in range(16)))
        assert [float(one[0][0]) for one in outputs] == [n + 1.0 for n in range(16)]
        answered += 16
    return answered

async def worker():
    try:
        await used.infer(x)
        return 3
    except maccel_aio.ForkedError:
        pass
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    own = maccel_aio.Accelerator("soft:0")
    async with own:
        await fresh.launch(own)
        os.write(ready, b"r")
        answered = await serve(fresh, stop)
        report = await fresh.aclose()
    return int(answered == 0 or report.timed_out)

def start(runner):
    pid = os.fork()
    if pid == 0:
        code = 9
        try:
            signal.alarm(25)  # a worker that hangs must not outlive the test
            code = runner(worker())
        finally:
            os._exit(code)
    return pid

started, ready = os.pipe()

def wait_ready():
    assert os.read(started, 1) == b"r"

def end(pid):
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""
)


def test_pitfall_12_workers_of_a_master_that_has_preloaded(tmp_path, plus_path):
    """Three workers serve, one is killed and replaced; the master's own request goes on."""
    out = run(tmp_path, plus_path, MASTER + """
workers = [start(runner) for runner in (asyncio.run, uvloop.run, asyncio.run)]
for _ in workers:
    wait_ready()
os.kill(workers[0], signal.SIGKILL)
os.waitpid(workers[0], 0)
workers[0] = start(uvloop.run)
wait_ready()
print(*(end(pid) for pid in workers))
print(pending.result()[0][0], asyncio.run(used.infer(x))[0][0])
held.close()
asyncio.run(acc.aclose())
""")  # fmt: skip
    assert out == ["0", "0", "0", "1.0", "1.0"]


def test_pitfall_12_forks_of_forks_again_and_again(tmp_path, plus_path):
    """While threads infer and a loop opens and closes devices, children fork children."""
    out = run(tmp_path, plus_path, FORK + """
stop = threading.Event()
problems = []

def hammer(name):
    async def life():
        while not stop.is_set():
            async with maccel_aio.Accelerator(name) as acc, acc.load(path) as model:
                out = [np.zeros(8, np.float32)]
                for y in await asyncio.gather(*(model.infer(x) for _ in range(4))):
                    if y[0][0] != 1:
                        problems.append(name)
                await model.infer(x, out=out)
    asyncio.run(life())

threads = [threading.Thread(target=hammer, args=(f"soft:{n}",)) for n in range(2)]
for thread in threads:
    thread.start()

def use():
    with maccel_aio.sync.Accelerator("soft:0") as acc, acc.load(path) as model:
        return int(model.infer(x)[0][0] != 1)

codes = [in_child(lambda: use() or in_child(use)) for _ in range(25)]
stop.set()
for thread in threads:
    thread.join()
print(sum(codes), len(problems))
""")  # fmt: skip
    assert out == ["0", "0"]


def answer(task):
    """Infer in a process of a pool: the device is opened at the first task of each process."""
    path, offset = task
    with maccel_aio.sync.Accelerator("soft:0") as acc, acc.load(path) as model:
        return float(model.infer(X + offset)[0][0])


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_a_pool_of_processes(plus_path, method):
    """However its processes come to be; the parent has the same device open."""
    with maccel_aio.sync.Accelerator("soft:0") as acc, acc.load(plus_path) as model:
        model.infer(X)
        with multiprocessing.get_context(method).Pool(2) as pool:
            tasks = [(str(plus_path), offset) for offset in range(8)]
            assert pool.map_async(answer, tasks).get(60) == [offset + 1.0 for offset in range(8)]
        assert model.infer(X)[0][0] == 1
