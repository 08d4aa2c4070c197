"""What dynamic batching is made of: callers, the lines they wait in, and batches. Nothing waits."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from maccel_aio._core import _shapes

if TYPE_CHECKING:
    from maccel_aio._core._base_model import Prepared
    from maccel_aio._core._job import BaseJob
    from maccel_aio._typing import Array
    from maccel_aio.errors import MaccelError


class Caller:
    """One call on its way through a batch.

    Args:
        prepared: the call, checked: it fits the model whatever the others do.
        joined_ns: when it came, CLOCK_MONOTONIC.
    """

    __slots__ = (
        "arrays", "deadline_ns", "done", "error", "form", "job", "joined_ns", "match", "out",
        "outputs", "parked", "priority", "specs",
    )  # fmt: skip

    def __init__(self, prepared: Prepared, joined_ns: int) -> None:
        self.arrays = prepared.arrays
        self.match = prepared.match
        self.specs = prepared.loaded.variant.outputs
        self.out = prepared.out
        self.deadline_ns = prepared.deadline_ns
        self.priority = prepared.priority
        self.joined_ns = joined_ns
        #: Calls of one form can be one request: same variant, layout and dtypes.
        self.form = (
            id(prepared.loaded), self.match.hwc, tuple(array.dtype for array in self.arrays),
        )  # fmt: skip
        #: What runs it: shared with the others of its batch.
        self.job: BaseJob | None = None
        self.done = False
        self.outputs: list[Array] | None = None
        self.error: BaseException | None = None
        #: What the loop's backend needs to wake it.
        self.parked: list[Any] = []

    @property
    def items(self) -> int:
        """Number of items."""
        return self.match.items

    def expired(self, now_ns: int) -> bool:
        """Return whether its deadline has passed."""
        return 0 < self.deadline_ns <= now_ns

    def take(self, outputs: list[Array]) -> None:
        """Take its result, into the arrays of ``out`` if it brought some."""
        if self.out is None:
            self.outputs = outputs
            return
        for array, value in zip(self.out, outputs, strict=True):
            np.copyto(array, value)
        self.outputs = self.out


class Line:
    """Callers of one form, in the order in which they came."""

    __slots__ = ("callers", "items")

    def __init__(self) -> None:
        #: An ordered set: whoever is cancelled leaves in no time.
        self.callers: dict[Caller, None] = {}
        self.items = 0

    def join(self, caller: Caller) -> None:
        """Add a caller at the end."""
        self.callers[caller] = None
        self.items += caller.items

    def leave(self, caller: Caller) -> bool:
        """Take a caller out; False when it is not here."""
        if caller not in self.callers:
            return False
        del self.callers[caller]
        self.items -= caller.items
        return True

    def oldest_ns(self) -> int:
        """Return when the first caller came."""
        return next(iter(self.callers)).joined_ns

    def board(self, most: int) -> list[Caller]:
        """Take out who goes together: higher priority first, then who came first.

        Args:
            most: items; a single caller may have more.
        """
        waiting = list(self.callers)
        if any(caller.priority != waiting[0].priority for caller in waiting):
            waiting.sort(key=lambda caller: -caller.priority)
        boarded: list[Caller] = []
        items = 0
        for caller in waiting:
            if boarded and items + caller.items > most:
                break
            items += caller.items
            boarded.append(caller)
            self.leave(caller)
        return boarded


class Batch:
    """Callers that share one request.

    Args:
        callers: at least one, all of one form.
    """

    __slots__ = ("callers", "items", "job")

    def __init__(self, callers: list[Caller]) -> None:
        self.callers = callers
        self.items = sum(caller.items for caller in callers)
        self.job: BaseJob | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that ``gather`` copies."""
        if len(self.callers) == 1:
            return 0
        return sum(array.nbytes for caller in self.callers for array in caller.arrays)

    @property
    def priority(self) -> int:
        """The highest of its callers."""
        return max(caller.priority for caller in self.callers)

    def deadline(self, now_ns: int) -> float | None:
        """Return the seconds after which nobody wants it any more; None if somebody always will."""
        latest = 0
        for caller in self.callers:
            if not caller.deadline_ns:
                return None
            latest = max(latest, caller.deadline_ns)
        return (latest - now_ns) / 1e9

    def gather(self) -> list[Array]:
        """Return the inputs of the request: one copy of each array, none for a lone caller."""
        if len(self.callers) == 1:
            return self.callers[0].arrays
        return [
            np.concatenate([
                caller.arrays[index] if caller.match.batched else caller.arrays[index][np.newaxis]
                for caller in self.callers
            ])
            for index in range(len(self.callers[0].arrays))
        ]  # fmt: skip

    def deal(self, outputs: list[Array]) -> None:
        """Give each caller its part of the outputs: views, nothing is copied."""
        if len(self.callers) == 1:
            self.callers[0].take(outputs)
            return
        start = 0
        for caller in self.callers:
            end = start + caller.items
            if not caller.done:
                caller.take([
                    array[start:end] if _shapes.output_leads(spec, caller.match) else array[start]
                    for spec, array in zip(caller.specs, outputs, strict=True)
                ])  # fmt: skip
            start = end

    def unwanted(self) -> bool:
        """Return whether all its callers are gone."""
        return all(caller.done for caller in self.callers)


def own_copy(problem: MaccelError) -> MaccelError:
    """Return an error for one of several callers: a traceback belongs to one of them."""
    made = copy.copy(problem)
    made.__cause__ = problem
    return made
