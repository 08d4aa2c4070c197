"""Which memory of callers the device may still write.

Arrays passed as ``out=`` belong to the caller. Until the completion of their request they must not
be given to another one, even when the first was cancelled: then they are *quarantined* here.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.errors import BufferInUseError, InvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maccel_aio._typing import Array

_lock = threading.Lock()
_in_use: dict[int, Array] = {}
#: All memory of the leases that are in flight, by lease.
_held: dict[int, Array] = {}


def claim(arrays: Sequence[Array], instead: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Register arrays that the device will write, all or none. Any thread.

    Args:
        arrays: the caller's outputs.
        instead: a claim that this one takes the place of; it stays as it is if this raises.

    Returns:
        A claim for ``release``.

    Raises:
        InvalidError: if an array is read-only.
        BufferInUseError: if the device may still write part of one.
    """
    made: list[int] = []
    with _lock:
        former = {key: _in_use.pop(key) for key in instead if key in _in_use}
        try:
            for array in arrays:
                _check(array)
                # A view of our own: the identity is unique while the claim holds.
                view = array.view()
                _in_use[id(view)] = view
                made.append(id(view))
        except (BufferInUseError, InvalidError):
            for key in made:
                del _in_use[key]
            _in_use.update(former)
            raise
    return tuple(made)


def _check(array: Array) -> None:
    if not array.flags.writeable:
        raise InvalidError("an array for outputs is read-only")
    if _overlaps(array, list(_in_use.values())) or _overlaps(array, list(_held.values())):
        raise BufferInUseError("the device may still write this array: its request runs")


def _overlaps(array: Array, others: Sequence[Array]) -> bool:
    return any(np.may_share_memory(array, other) and _shares(array, other) for other in others)


def _shares(one: Array, other: Array) -> bool:
    try:
        # The stubs know two special values only; any bound on the work is allowed.
        return bool(np.shares_memory(one, other, max_work=1000))  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def release(claimed: tuple[int, ...]) -> None:
    """Give the arrays of a claim back to their owner. Any thread."""
    with _lock:
        for key in claimed:
            _in_use.pop(key, None)


def is_claimed(array: Array) -> bool:
    """Return whether the device may still write part of an array. Any thread."""
    with _lock:
        return _overlaps(array, list(_in_use.values())) or _overlaps(array, list(_held.values()))


def hold(key: int, memory: Array) -> None:
    """Register the memory of a lease, which belongs to nobody else. Any thread, very fast.

    Args:
        key: unique while it is held.
        memory: all of it, as bytes.

    Raises:
        BufferInUseError: if the device may still write part of it for another request.
    """
    if _in_use and _overlaps(memory, list(_in_use.values())):
        raise BufferInUseError("the device may still write an array of this lease")
    _held[key] = memory


def drop(key: int) -> None:
    """Give the memory of a lease back. Any thread."""
    _held.pop(key, None)


def claims() -> int:
    """Return how many arrays and leases are claimed now."""
    return len(_in_use) + len(_held)


def _forget_in_child() -> None:
    """The device writes the memory of the parent: the child's copy is free."""
    global _lock
    _lock = threading.Lock()
    _in_use.clear()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
