"""Claims on callers' arrays, and what waits to be freed."""

import numpy as np
import pytest

from maccel_aio._core import _graveyard, _guard
from maccel_aio.errors import BufferInUseError, InvalidError


def test_claims_are_all_or_nothing():
    base = np.zeros((4, 8), np.float32)
    held = _guard.claim([base[0], base[1]])
    with pytest.raises(BufferInUseError):
        _guard.claim([base[2], base[1, ::2]])
    other = _guard.claim([base[2]])
    locked = base[3].view()
    locked.flags.writeable = False
    with pytest.raises(InvalidError):
        _guard.claim([locked])
    _guard.release(held)
    again = _guard.claim([base[0]])
    for claim in (other, again, held):
        _guard.release(claim)
    assert _guard.claims() == 0


def test_one_call_cannot_claim_an_array_twice():
    array = np.zeros(4, np.float32)
    with pytest.raises(BufferInUseError):
        _guard.claim([array, array])
    assert _guard.claims() == 0


def test_interleaved_views_are_told_apart():
    base = np.zeros((8, 2), np.float32)
    one, two = _guard.claim([base[:, 0]]), _guard.claim([base[:, 1]])
    _guard.release(one + two)


class Stubborn:
    def __init__(self, times):
        self.times = times

    def try_dispose(self):
        self.times -= 1
        return self.times <= 0


def test_remains_are_tried_until_they_can_be_freed():
    _graveyard.bury(Stubborn(1))
    _graveyard.bury(Stubborn(3))
    assert _graveyard.sweep() == 1
    assert not _graveyard.sweep_until_empty(0.0)
    assert _graveyard.sweep_until_empty(5.0)


def test_a_claim_takes_the_place_of_another():
    array, other = np.zeros(4, np.float32), np.zeros(4, np.float32)
    first = _guard.claim([array])
    taken = _guard.claim([other])
    with pytest.raises(BufferInUseError):
        _guard.claim([array, other], first)
    assert _guard.is_claimed(array)
    second = _guard.claim([array], first)
    _guard.release(first)  # over: nothing happens
    assert _guard.is_claimed(array)
    _guard.release(second + taken)
    assert _guard.claims() == 0
