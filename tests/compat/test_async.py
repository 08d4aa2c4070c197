"""Calls in flight: out of order, many threads, disposal, and what a future keeps alive."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import numpy as np
import pytest

from maccel_aio.compat import qbruntime
from maccel_aio.compat._shared.accelerator import RawAccelerator
from maccel_aio.compat._shared.status import StatusCode
from tests.core import mxqtools

pytestmark = pytest.mark.usefixtures("no_leaks")
#: One core, which takes its time.
SLOW = "fault:soft:0?cores=1&delay_ms=30"
F32 = np.float32


@pytest.fixture
def slow(package: ModuleType, image_path: str, no_leaks: None) -> Any:
    """The image model on a device that runs one request in 30 ms."""
    acc = package.Accelerator.__new__(package.Accelerator)
    acc._accelerator = RawAccelerator(SLOW)
    config = package.ModelConfig()
    config.set_single_core_mode(1)
    model = package.Model(image_path, config)
    model.launch(acc)
    return model


def test_cores_that_the_device_lacks_are_told(package: ModuleType, error: Any, slow: Any) -> None:
    config = package.ModelConfig()
    config.set_multi_core_mode([package.Cluster.Cluster1])
    model = package.Model(slow.get_model_path(), config)
    with pytest.raises(error) as caught:
        model.launch(slow._acc)
    assert caught.value.code is StatusCode.Driver_FailedToClaimCores
    assert "core mask" in caught.value.reason
    slow.dispose()


def test_futures_are_read_in_any_order(image: Any, pixels: Any) -> None:
    futures = [image.infer_async(pixels + k) for k in range(40)]
    for k in np.random.default_rng(1).permutation(40):
        plus, flat = futures[k].get()
        assert np.array_equal(plus, pixels + k + 1)
        assert np.array_equal(flat, np.moveaxis(pixels + k, -1, 0))


def test_a_future_tells_when_it_is_done(slow: Any, pixels: Any) -> None:
    first, second = slow.infer_async(pixels), slow.infer_async([pixels * 2])
    assert not second.wait_for(0)
    assert not second.done()
    assert second.wait_for(10_000)
    assert first.wait_for(0)
    assert np.array_equal(second.get()[0], pixels * 2 + 1)
    assert np.array_equal(first.get()[0], pixels + 1)
    with pytest.raises(RuntimeError, match="Future_NotValid"):
        first.get()
    slow.dispose()


def test_more_calls_than_credits_are_accepted_in_turn(image: Any, pixels: Any) -> None:
    futures = [image.infer_async(pixels + k) for k in range(300)]
    assert all(np.array_equal(one.get()[0], pixels + k + 1) for k, one in enumerate(futures))


def test_another_thread_may_read_a_future(slow: Any, pixels: Any) -> None:
    futures = [slow.infer_async(pixels + k) for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda one: one.get()[0], futures))
    for k, result in enumerate(results):
        assert np.array_equal(result, pixels + k + 1)
    slow.dispose()


def test_many_threads_call_one_model(image: Any, pixels: Any) -> None:
    def call(k: int) -> bool:
        x = pixels + k
        same = np.array_equal(image.infer(x)[0], x + 1)
        return same and np.array_equal(image.infer_async(x).get()[0], x + 1)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(call, range(200)))


def test_two_models_share_an_accelerator(
    package: ModuleType, image_path: str, tmp_path: Path, pixels: Any
) -> None:
    acc = package.Accelerator()
    one, two = (
        package.Model(path)
        for path in (image_path, str(mxqtools.plus(tmp_path / "p.mxq", 8, value=5.0)))
    )
    one.launch(acc)
    two.launch(acc)
    x = np.arange(8, dtype=F32).reshape(1, 1, 8)
    futures = [(one.infer_async(pixels + k), two.infer_async(x + k)) for k in range(20)]
    one_more = [two.infer(x), one.infer(pixels)]
    assert np.array_equal(one_more[0][0], x + 5)
    for k, (first, second) in enumerate(futures):
        assert np.array_equal(first.get()[0], pixels + k + 1)
        assert np.array_equal(second.get()[0], x + k + 5)
    one.dispose()
    assert np.array_equal(two.infer(x)[0], x + 5)


def test_disposal_decides_everything_in_flight(slow: Any, pixels: Any, error: Any) -> None:
    futures = [slow.infer_async(pixels) for _ in range(8)]
    slow.dispose()
    ends = []
    for future in futures:
        assert future.wait_for(0)
        try:
            assert np.array_equal(future.get()[0], pixels + 1)
            ends.append("done")
        except error as problem:
            ends.append(problem.code.name)
    assert ends.count("Model_NotAlive") >= 6
    assert set(ends) <= {"Model_NotAlive", "done"}
    assert slow._model.runner is None


def test_disposal_ends_the_calls_of_other_threads(slow: Any, pixels: Any, error: Any) -> None:
    begun = threading.Barrier(4)
    ends: list[str] = []

    def call() -> None:
        begun.wait()
        for _ in range(50):
            try:
                assert np.array_equal(slow.infer(pixels)[0], pixels + 1)
            except error as problem:
                ends.append(problem.code.name)
                return

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    begun.wait()
    slow.dispose()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert ends == ["Model_NotAlive"] * 3


def test_a_future_outlives_its_model(package: ModuleType, image_path: str, pixels: Any) -> None:
    model = package.load(image_path)
    futures = [model.infer_async(pixels + k) for k in range(20)]
    del model
    gc.collect()
    for k, future in enumerate(futures):
        assert np.array_equal(future.get()[0], pixels + k + 1)


def test_what_fails_on_the_device_fails_the_future(image_path: str, pixels: Any) -> None:
    acc = qbruntime.Accelerator("fault:soft:0?cores=1&fail_every=2")
    model = qbruntime.Model(image_path)
    model.launch(acc)
    futures = [model.infer_async(pixels) for _ in range(4)]
    codes = []
    for future in futures:
        try:
            future.get()
        except qbruntime.QbRuntimeError as problem:
            codes.append(problem.code)
    assert codes == [StatusCode.Model_PredictError] * 2


def test_a_future_keeps_its_inputs_until_it_is_read(image: Any, pixels: Any) -> None:
    future = image.infer_async(pixels)
    assert future._inputs[0] is pixels
    future.get()
    assert future._inputs is None


@pytest.mark.anyio
async def test_futures_are_awaited_in_any_loop(slow: Any, image_path: str, pixels: Any) -> None:
    futures = [slow.infer_async(pixels + k) for k in range(4)]
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await anyio.sleep(0.001)
            beats += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beat)
        for k in (3, 0, 2, 1):
            assert np.array_equal((await futures[k])[0], pixels + k + 1)
        tasks.cancel_scope.cancel()
    assert beats >= 4
    with pytest.raises(RuntimeError, match="Future_NotValid"):
        await futures[0]
    slow.dispose()


@pytest.mark.anyio
async def test_a_cancelled_wait_leaves_the_result_to_others(slow: Any, pixels: Any) -> None:
    future = slow.infer_async(pixels)
    with anyio.move_on_after(0.001) as scope:
        await future
    assert scope.cancelled_caught
    assert np.array_equal((await future)[0], pixels + 1)
    slow.dispose()


def test_callbacks_come_without_anybody_waiting(slow: Any, segmented_path: str, pixels: Any,
                                                package: ModuleType) -> None:  # fmt: skip
    other = package.load(segmented_path)
    told: list[Any] = []
    all_there = threading.Event()

    def tell(future: Any) -> None:
        told.append((future, threading.current_thread()))
        if len(told) == 6:
            all_there.set()

    futures = [slow.infer_async(pixels + k) for k in range(5)]
    futures.append(other.infer_async(np.zeros((1, 1, 8), F32)))
    for future in futures:
        future.add_done_callback(tell)
    assert all_there.wait(20)
    assert {id(future) for future, _ in told} == {id(future) for future in futures}
    threads = {id(future): thread for future, thread in told}
    assert all(threads[id(future)] is not threading.main_thread() for future in futures[:5])
    assert all(future.done() for future in futures)
    futures[0].add_done_callback(tell)
    assert told[-1] == (futures[0], threading.main_thread())
    assert np.array_equal(futures[0].get()[0], pixels + 1)
    futures[0].add_done_callback(tell)
    assert len(told) == 8
    slow.dispose()
    told.clear()
    futures.clear()
    del future


def test_a_callback_that_fails_harms_nobody(slow: Any, pixels: Any, caplog: Any) -> None:
    reached = threading.Event()
    first, second = slow.infer_async(pixels), slow.infer_async(pixels)
    first.add_done_callback(lambda _: 1 / 0)
    second.add_done_callback(lambda _: reached.set())
    assert reached.wait(20)
    assert "a done-callback failed" in caplog.text
    caplog.clear()
    slow.dispose()


def test_disposal_calls_back_too(slow: Any, pixels: Any) -> None:
    futures = [slow.infer_async(pixels) for _ in range(6)]
    gate = threading.Semaphore(0)
    for future in futures:
        future.add_done_callback(lambda _: gate.release())
    slow.dispose()
    for _ in futures:
        assert gate.acquire(timeout=20)
