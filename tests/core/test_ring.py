"""Rings without any event loop: slots, generations, budgets; and a model of the whole admission.

The state machine drives a port, a ring and a device that fails and hangs by plan, and compares each
step with a few lines of Python: who has a credit, who waits, and how each request must end.
"""

import collections
import gc
import select
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from maccel_aio import CancelOutcome, JobState
from maccel_aio._core import _binding, _ring
from maccel_aio._typing import override
from maccel_aio.errors import ClosedError, MaccelError, QueueFullError
from tests.core.rigs import CountedJob, Rig


def test_a_slot_is_used_again_with_a_new_generation(rig):
    one = rig()
    seen = []
    for _ in range(5):
        job = one.submit()
        seen.append(job._user_data)
        one.reap_until(job.done)
    assert [user_data & 0xFFFF for user_data in seen] == [0] * 5
    assert [user_data >> 16 for user_data in seen] == [1, 2, 3, 4, 5]
    assert (one.ring.busy, len(one.ring._slots)) == (0, 1)


def test_slots_are_made_as_needed_and_never_more_than_the_credits(rig):
    one = rig(credits_=3)
    slots = [one.ring.take() for _ in range(3)]
    assert one.ring.take() is None
    assert one.ring.busy == 3
    for slot in slots:
        one.ring.give_back(slot)
    assert one.ring.busy == 0
    assert {id(one.ring.take()) for _ in range(3)} == {id(slot) for slot in slots}


def test_pitfall_06_the_slot_keeps_the_arrays_until_the_completion(rig):
    one = rig("fault:soft:0?delay_ms=5")
    x = np.full(8, 7, np.float32)
    job = one.submit(x=x)
    address = x.__array_interface__["data"][0]
    del x
    gc.collect()
    churn = [np.zeros(8, np.float32) for _ in range(200)]
    assert all(other.__array_interface__["data"][0] != address for other in churn)
    one.reap_until(job.done)
    np.testing.assert_array_equal(job.result()[0], np.full(8, 8))
    assert all(slot.keep is None and slot.job is None for slot in one.ring._slots)


def test_pitfall_07_a_job_that_cannot_be_settled_takes_no_other_with_it(rig, caplog):
    class Broken(CountedJob):
        __slots__ = ()

        @override
        def settle(self, status, timing):
            super().settle(status, timing)
            raise ValueError("broken bookkeeping")

    one = rig("null:0?inline=1")
    one.ports[0].job_type = Broken
    bad = one.submit()
    one.ports[0].job_type = CountedJob
    good = [one.submit() for _ in range(3)]
    one.reap_until(lambda: all(job.done() for job in good))
    assert bad.settled == 1
    assert "broken bookkeeping" in caplog.text
    assert one.ring.busy == 0


def test_pitfall_03_what_exceeds_the_budget_keeps_the_ring_readable(rig):
    many = 3 * _ring.BUDGET + 10
    one = rig("null:0?inline=1", credits_=many, limits=(many,))
    jobs = [one.submit() for _ in range(many)]
    poller = select.poll()
    poller.register(one.ring.fd, select.POLLIN)
    counts, armed = [], False
    while not armed:
        armed = one.ring.reap()
        counts.append(sum(job.done() for job in jobs))
        assert bool(poller.poll(0)) is not armed
    assert counts == [_ring.BUDGET, 2 * _ring.BUDGET, 3 * _ring.BUDGET, many]


def test_pitfall_21_a_completion_of_an_old_generation_is_dropped(rig):
    one = rig("null:0?inline=1")
    job = one.submit()
    (slot,) = one.ring._slots
    slot.user_data += 1 << 16  # as if the slot had been given to the next request meanwhile
    one.ring.reap()
    assert (one.ring.stale, job.done()) == (1, False)
    slot.user_data -= 1 << 16
    one.ring._settle(iter([(slot.user_data, 0, 0, 1, 2, 3)]))
    assert job.state is JobState.DONE
    one.ring._settle(iter([(slot.user_data, 0, 0, 1, 2, 3)]))
    assert (one.ring.stale, job.settled, one.ports[0].in_flight) == (2, 1, 0)


def test_pitfall_21_doubled_completions_settle_once(rig):
    one = rig("fault:soft:0?duplicate_every=2&reorder=1&seed=5")
    jobs = [one.submit() for _ in range(8)]
    one.reap_until(lambda: all(job.done() for job in jobs))
    assert [job.settled for job in jobs] == [1] * 8
    assert one.device.stats().overflow == 0


def test_a_ring_that_is_disposed_of_cancels_nothing_and_frees_once(rig):
    one = rig("null:0?inline=1")
    job = one.submit()
    one.ring.reap()
    one.ring.dispose()
    one.ring.dispose()
    assert one.ring.cancel(job._user_data) == _binding.CLOSED
    assert job.cancel() is CancelOutcome.DONE


def test_what_still_runs_when_the_ring_closes_is_orphaned_and_its_memory_kept(rig):
    one = rig("fault:soft:0?hang_every=1")
    out = np.zeros(8, np.float32)
    runs, cancelled = one.submit(out=[out]), one.submit()
    one.reap_until(lambda: one.device.stats().running == 2)
    assert cancelled.cancel() is CancelOutcome.ABANDONED
    one.ring.dispose()
    with pytest.raises(ClosedError):
        runs.result()
    assert one.ring._slots[0].keep is not None  # the device may write until it is stopped
    assert one.ports[0].in_flight > 0


def test_a_refused_submission_gives_slot_and_credit_back(rig):
    one = rig(limits=(1,))
    port = one.ports[0]
    locked = np.zeros(8, np.float32)
    locked.flags.writeable = False
    with pytest.raises(MaccelError, match="read-only"):
        one.submit(out=[locked])
    assert (port.in_flight, one.ring.busy, port.submitted) == (0, 0, 0)
    one.device.release(10.0)
    with pytest.raises(ClosedError):
        one.submit()
    assert (port.in_flight, one.ring.busy, port.submitted) == (0, 0, 0)


def test_a_slot_that_is_not_used_goes_to_the_other_models_of_the_ring(rig):
    one = rig(credits_=1, limits=(1, 1))
    first, second = one.ports
    slot = first.take()
    mine, theirs = first.enqueue(), second.enqueue()
    first.give_back(slot)
    assert (mine.slot is None, theirs.slot is None) == (False, True)
    first.leave(mine)
    assert theirs.slot is not None
    second.leave(theirs)
    assert (one.ring.busy, first.in_flight, second.in_flight) == (0, 0, 0)


FAIL, HANG, LIMITS, CREDITS, WAITING = 5, 7, (3, 4), 5, 3


class AdmissionMachine(RuleBasedStateMachine):
    """Two ports on one ring that is smaller than their limits together."""

    jobs = Bundle("jobs")
    waiters = Bundle("waiters")

    def __init__(self):
        super().__init__()
        name = f"{self.device}?fail_every={FAIL}&hang_every={HANG}{self.options}"
        self.rig = Rig(name, self.path, CREDITS, LIMITS, WAITING)
        self.ordinal = 0
        #: What must become of each job: ordinal -> (job, input, was it cancelled, and how).
        self.every = {}
        self.queues: list[Any] = [collections.deque() for _ in LIMITS]
        self.held = [0 for _ in LIMITS]
        self.shut = [False for _ in LIMITS]

    device, options, path = "fault:soft:0", "", None

    # ---- what the ring must hold

    def outstanding(self, index):
        port = self.rig.ports[index]
        mine = [entry for entry in self.every.values() if entry["job"]._port is port]
        return [entry for entry in mine if not entry["job"].settled]

    @invariant()
    def credits_add_up(self):
        busy = 0
        for index, port in enumerate(self.rig.ports):
            granted = sum(waiter.slot is not None for waiter in self.queues[index])
            assert port.in_flight == len(self.outstanding(index)) + self.held[index] + granted
            assert port.in_flight <= LIMITS[index]
            assert len(port.waiters) <= WAITING
            abandoned = [e for e in self.outstanding(index) if e["outcome"] is ABANDONED]
            assert port.abandoned == len(abandoned)
            busy += port.in_flight
        assert self.rig.ring.busy == busy <= CREDITS
        assert self.rig.ring.stale == 0
        assert self.rig.device.stats().overflow == 0

    @invariant()
    def the_first_who_waits_is_the_first_who_gets(self):
        for queue in self.queues:
            granted = [waiter.slot is not None for waiter in queue]
            assert granted == sorted(granted, reverse=True)

    @invariant()
    def nobody_waits_while_a_credit_is_free(self):
        ring = self.rig.ring
        if ring.busy < CREDITS:
            for port in self.rig.ports:
                assert not port.waiters or port.in_flight == port.limit

    # ---- what may happen

    def begin(self, index, slot, value):
        x = np.full(8, value, np.float32)
        job = self.rig.ports[index].start(slot, self.rig.call(x))
        self.ordinal += 1
        entry = {"job": job, "x": x, "outcome": None, "ordinal": self.ordinal}
        self.every[self.ordinal] = entry
        return entry

    @rule(target=jobs, index=st.integers(0, 1), value=st.integers(0, 99))
    def submit(self, index, value):
        port = self.rig.ports[index]
        free = port.in_flight < port.limit and self.rig.ring.busy < CREDITS and not port.waiters
        if self.shut[index]:
            with pytest.raises(ClosedError):
                port.take()
            return None
        slot = port.take()
        assert (slot is not None) is free
        return self.begin(index, slot, value) if slot is not None else None

    @rule(target=waiters, index=st.integers(0, 1))
    def wait(self, index):
        port = self.rig.ports[index]
        if self.shut[index] or (port.in_flight < port.limit and self.rig.ring.busy < CREDITS
                                and not port.waiters):  # fmt: skip
            return None
        if len(port.waiters) == WAITING:
            with pytest.raises(QueueFullError):
                port.enqueue()
            return None
        waiter = port.enqueue()
        self.queues[index].append(waiter)
        return index, waiter

    @rule(target=waiters, index=st.integers(0, 1))
    def crowd(self, index):
        """Take all that is free and queue up for more: so that several wait at one time."""
        port = self.rig.ports[index]
        while not self.shut[index] and (slot := port.take()) is not None:
            self.begin(index, slot, self.ordinal)
        made = []
        while not self.shut[index] and len(port.waiters) < WAITING:
            made.append((index, port.enqueue()))
            self.queues[index].append(made[-1][1])
        # Always as many: how many wait depends on the device, and a bundle must not.
        return multiple(*made, *[None] * (WAITING - len(made)))

    @rule(target=jobs, pair=consumes(waiters), value=st.integers(0, 99), gives_up=st.booleans())
    def use_or_leave(self, pair, value, gives_up):
        if pair is None:
            return None
        index, waiter = pair
        self.queues[index].remove(waiter)
        if waiter.slot is None or gives_up or self.shut[index]:
            assert waiter.closed is (self.shut[index] and waiter.slot is None)
            self.rig.ports[index].leave(waiter)
            return None
        slot, waiter.slot = waiter.slot, None
        return self.begin(index, slot, value)

    @rule(entry=jobs)
    def cancel(self, entry):
        if entry is None:
            return
        job, before = entry["job"], entry["job"].state
        outcome = job.cancel()
        if before is JobState.QUEUED:
            entry["outcome"] = outcome
            assert job.done() or outcome is CancelOutcome.DONE
        elif before is JobState.ABANDONED:
            assert outcome is CancelOutcome.ABANDONED
        else:
            assert outcome is CancelOutcome.DONE

    @rule()
    def reap(self):
        self.rig.ring.wait(2_000_000)
        self.rig.ring.reap()

    @rule()
    def harvest(self):
        self.rig.ring.harvest()

    @rule(index=st.integers(0, 1))
    def shut_one(self, index):
        if self.ordinal > 12:
            self.rig.ports[index].shut()
            self.shut[index] = True

    # ---- the end: everything ended exactly once, in the way that it had to

    @override
    def teardown(self):
        for index, queue in enumerate(self.queues):
            for waiter in queue:
                self.rig.ports[index].leave(waiter)
            queue.clear()
        self.rig.close()
        for index, port in enumerate(self.rig.ports):
            assert (port.in_flight, port.abandoned) == (0, 0)
            ended = port.completed + port.failed + port.cancelled + port.expired
            mine = [e for e in self.every.values() if e["job"]._port is port]
            assert ended == port.submitted == len(mine), index
        for entry in self.every.values():
            self.check_end(entry)

    def check_end(self, entry):
        job, ordinal = entry["job"], entry["ordinal"]
        assert job.settled == 1
        if entry["outcome"] in (CancelOutcome.REMOVED, ABANDONED):
            assert job.state is JobState.CANCELLED
        elif job.state is JobState.CANCELLED:  # it was queued when the device was closed
            assert job._status in (_binding.CANCELED, _binding.CLOSED)
        elif job.state is JobState.DONE:
            assert ordinal % FAIL
            assert ordinal % HANG
            np.testing.assert_array_equal(job.result()[0], entry["x"] + 1)
        elif ordinal % HANG == 0:
            assert job._status == _binding.DEVICE_LOST
        else:
            assert (ordinal % FAIL, job._status) == (0, -15)


ABANDONED = CancelOutcome.ABANDONED
STEPS = settings(
    max_examples=40, stateful_step_count=40, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.mark.parametrize(
    ("device", "options"),
    [
        ("fault:soft:0", "&cores=1"),
        ("fault:soft:0", "&cores=1&delay_ms=0.3"),
        ("fault:soft:0", "&reorder=1&duplicate_every=3"),
    ],
    ids=["one core", "slow", "reordered"],
)
def test_credits_queues_and_outcomes_follow_a_model(plus_path, device, options):
    class Machine(AdmissionMachine):
        pass

    Machine.device, Machine.options, Machine.path = device, options, plus_path
    run_state_machine_as_test(Machine, settings=STEPS)
