"""Signal handlers that raise, as that of SIGINT does, right before or after a native call.

A profile function stands in for the handler: it raises exactly where the interpreter would run one.
"""

import contextlib
import sys

import numpy as np
import pytest

import maccel_aio
from maccel_aio import sync
from maccel_aio._core import _guard
from maccel_aio._core._express import ExpressPort, Form
from tests.core.rigs import CountedJob, X

HANGS = "fault:soft:0?hang_every=1"
MOMENTS = ("c_call", "c_return")


@contextlib.contextmanager
def interrupted(function, moment):
    """Raise KeyboardInterrupt right before or after the next call of a native function."""

    def raise_there(_, event, called):
        if event == moment and getattr(called, "__name__", "") == function:
            sys.setprofile(None)
            raise KeyboardInterrupt

    before, came = sys.getprofile(), False
    sys.setprofile(raise_there)
    try:
        yield
    except KeyboardInterrupt:
        came = True
    finally:
        sys.setprofile(before)
    assert came, f"{function} was not called"


def express(one):
    """Return a port with a short way, and the form of its calls."""
    call = one.call()
    return ExpressPort(one.ring, 8, None, CountedJob, one.woken.extend), Form(
        call.model, call.plan, 0
    )


def test_before_the_device_has_it_all_is_as_it_was(rig):
    one = rig()
    port, form = express(one)
    out = np.zeros(8, np.float32)
    with interrupted("maccel_ring_submit", "c_call"):
        one.submit(out=[out])
    with interrupted("maccel_ring_carry", "c_call"):
        port.express(form, X)
    assert (one.ring.busy, one.ports[0].in_flight, port.in_flight, _guard.claims()) == (0, 0, 0, 0)
    assert one.device.stats().submitted == 0


def test_what_the_device_has_keeps_its_memory_until_it_is_done(rig):
    one = rig(HANGS)
    port = one.ports[0]
    out = np.zeros(8, np.float32)
    with interrupted("maccel_ring_submit", "c_return"):
        one.submit(out=[out])
    assert (one.ring.busy, port.in_flight, port.submitted) == (1, 1, 1)
    assert one.ring._slots[0].keep is not None
    one.device.release(10.0)
    one.ring.reap()
    assert (one.ring.busy, port.in_flight, port.cancelled + port.failed) == (0, 0, 1)
    assert _guard.claims() == 0


def test_the_short_way_keeps_what_the_device_has(rig):
    one = rig(HANGS)
    port, form = express(one)
    with interrupted("maccel_ring_carry", "c_return"):
        port.express(form, X)
    assert (one.ring.busy, port.in_flight, port.submitted) == (1, 1, 1)
    assert one.ring._slots[0].keep is not None
    one.device.release(10.0)
    one.ring.reap()
    assert (one.ring.busy, port.in_flight, one.ring.stale) == (0, 0, 0)


def test_others_that_the_short_way_took_are_settled(rig):
    one = rig("null:0?inline=1")
    port, form = express(one)
    first = one.submit()
    with interrupted("maccel_ring_carry", "c_return"):
        port.express(form, X)
    assert (first.settled, one.ring.busy, port.in_flight) == (1, 0, 0)


def test_a_refused_request_of_the_short_way_loses_no_completion_of_others(rig):
    one = rig()
    port, form = express(one)
    first = one.submit()
    assert one.ring.wait(10_000_000_000)
    form.native._sqe.batch = 0
    with pytest.raises(maccel_aio.InvalidError):
        port.express(form, X)
    assert (first.settled, one.ring.busy, port.in_flight) == (1, 0, 0)


@pytest.mark.parametrize("take", ["reap", "harvest"])
def test_completions_that_were_taken_are_settled(rig, take):
    one = rig("null:0?inline=1")
    jobs = [one.submit() for _ in range(3)]
    with interrupted(f"maccel_ring_{take}", "c_return"):
        getattr(one.ring, take)()
    assert [job.settled for job in jobs] == [1] * 3
    assert (one.ring.busy, one.ring.stale) == (0, 0)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_lease_comes_back_when_the_device_has_let_go_of_it(plus_path, moment):
    with sync.Accelerator("soft:0") as acc, acc.load(plus_path) as model:
        with model.buffers(1, shape=(8,)) as pool, pool.lease() as lease:
            with interrupted("maccel_ring_submit", moment):
                model.submit(lease)
            assert model.stats().submitted == (moment == "c_return")
            while lease.in_flight:
                model.infer(X)  # takes what has completed
            (y,) = model.infer(lease)
            np.testing.assert_array_equal(y, lease.inputs[0] + 1)
        assert model.stats().in_flight == 0


@pytest.mark.parametrize("moment", MOMENTS)
async def test_leases_that_go_together_come_back_together(plus, moment):
    async with plus.buffers(3, shape=(8,)) as pool:
        leases = [pool.try_lease() for _ in range(3)]
        with interrupted("maccel_ring_submit", moment):
            plus.try_submit_all(leases)
        assert plus.stats().submitted == (3 if moment == "c_return" else 0)
        while any(lease.in_flight for lease in leases):
            await plus.infer(X)
        for job in plus.try_submit_all(leases):
            await job
        for lease in leases:
            lease.release()
    assert plus.stats().in_flight == 0
