"""The threads of the blocking face: order, bounds, failures, cancellation."""

import gc
import threading
import weakref

import pytest

from maccel_aio._core._pool import DaemonPool


def names():
    return {thread for thread in threading.enumerate() if thread.name.startswith("maccel_aio-")}


def test_results_and_failures_reach_their_owners():
    pool = DaemonPool(2)
    assert pool.submit(divmod, 17, 5).result(20) == (3, 2)
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).result(20)

    def interrupts():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pool.submit(interrupts).result(20)
    assert pool.submit(len, "still there").result(20) == 11


def test_one_thread_works_in_the_order_of_submission():
    pool = DaemonPool(1)
    seen: list[int] = []
    futures = [pool.submit(seen.append, index) for index in range(50)]
    for future in futures:
        future.result(20)
    assert seen == list(range(50))
    assert pool._threads == 1


def test_an_idle_thread_is_used_before_another_is_made():
    pool = DaemonPool(8)
    for _ in range(20):
        pool.submit(int).result(20)
        # The result shows a moment before the thread waits again.
        while pool._backlog == 0:
            pass
    assert pool._threads == 1


def test_there_are_never_more_threads_than_allowed():
    pool = DaemonPool(3)
    gate, running = threading.Event(), threading.Semaphore(0)

    def works():
        running.release()
        assert gate.wait(20)

    futures = [pool.submit(works) for _ in range(10)]
    for _ in range(3):
        assert running.acquire(timeout=20)
    assert not running.acquire(blocking=False)
    assert pool._threads == 3
    assert all(thread.daemon for thread in names())
    gate.set()
    for future in futures:
        future.result(20)


def test_what_is_cancelled_in_time_never_runs():
    pool = DaemonPool(1)
    gate = threading.Event()
    first = pool.submit(gate.wait, 20)
    second = pool.submit(pytest.fail, "it ran")
    assert second.cancel()
    third = pool.submit(int)
    gate.set()
    assert (first.result(20), third.result(20)) == (True, 0)


def test_an_idle_thread_keeps_nothing_of_its_last_work():
    class Array:
        pass

    pool = DaemonPool(1)
    big = Array()
    seen = weakref.ref(big)
    pool.submit(id, big).result(20)
    del big
    pool.submit(int).result(20)
    gc.collect()
    assert seen() is None


def test_after_a_reset_as_in_a_child_everything_begins_anew():
    pool = DaemonPool(1)
    gate = threading.Event()
    stuck = pool.submit(gate.wait, 20)
    pool._reset()
    assert pool.submit(len, [1, 2]).result(20) == 2
    assert not stuck.done()
    gate.set()


def test_functions_that_wait_for_others_cannot_block_one_another():
    """Shown to fail: without a thread for inner work all threads wait for what nobody takes."""
    pool = DaemonPool(2)
    meet = threading.Barrier(2)

    def outer(number):
        meet.wait(20)  # both threads are taken
        inner = [pool.submit(lambda: pool.submit(int, number).result(20)) for _ in range(3)]
        return [future.result(20) for future in inner]

    futures = [pool.submit(outer, number) for number in range(2)]
    assert [future.result(20) for future in futures] == [[0] * 3, [1] * 3]
    assert pool._threads == 2


def test_work_that_no_thread_could_be_started_for_does_not_run(monkeypatch):
    pool = DaemonPool(2)
    ran: list[int] = []

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            pool.submit(ran.append, 1)
    pool.submit(ran.append, 2).result(20)
    assert ran == [2]
    gate, running = threading.Event(), threading.Event()

    def hold():
        running.set()
        assert gate.wait(20)

    held = pool.submit(hold)
    assert running.wait(20)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        later = pool.submit(ran.append, 3)  # the one that there is comes to it
    gate.set()
    held.result(20)
    later.result(20)
    assert ran == [2, 3]
