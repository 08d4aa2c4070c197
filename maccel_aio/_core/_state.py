"""The state of a launched model: caches by slot in host memory, and what can be done with them.

The device reads a cache and writes its new rows where they belong, as inputs and outputs of each
request. Whoever calls here holds the turn of the slots concerned.
"""

from __future__ import annotations

import contextlib
import math
import threading
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from maccel_aio._core import _guard
from maccel_aio._core._turns import Turns
from maccel_aio.errors import CacheOverflowError, InvalidError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from maccel_aio._core._manifest import Manifest, Variant
    from maccel_aio._core._state_spec import CacheSpec, StateSpec
    from maccel_aio._typing import Array

#: Rows that ``filter_tail`` looks at, at most: the vendor's bound.
MAX_TAIL = 32


class CacheInfo(NamedTuple):
    """One cache of a model."""

    name: str
    #: Tells it apart from others, also in file names.
    layer_hash: str
    #: Bytes of one slot: float32.
    size: int
    #: Slots: every ``cache_id`` is below.
    slots: int
    #: Shape of one slot, as the model's ONNX graph has it.
    shape: tuple[int, ...]
    #: The dimension of ``shape`` that grows with ``cache_size``; None for a state of fixed size,
    #: which every call replaces.
    axis: int | None


class Cache:
    """The memory of one cache in all slots, zero at first.

    Args:
        spec: what it is.
        shape: of the input of one slot.
        slots: how many.
        spare: rows beyond the end that a padded step may write.
    """

    def __init__(self, spec: CacheSpec, shape: tuple[int, ...], slots: int, spare: int) -> None:
        self.spec = spec
        room = list(shape)
        if spec.axis is not None:
            room[spec.axis] += spare
        self._memory = np.zeros((slots, *room), np.float32)
        self.info = _describe(spec, shape, slots)

    def rows(self, slot: int, start: int, stop: int) -> Array:
        """Return a view of rows of a slot; of all of it where it has no rows."""
        axis = self.spec.axis
        whole: Array = self._memory[slot]
        return whole if axis is None else whole[(slice(None),) * axis + (slice(start, stop),)]

    def whole(self, slot: int) -> Array:
        """Return a view of a slot."""
        return self.rows(slot, 0, 0 if self.spec.axis is None else self.info.shape[self.spec.axis])


class State:
    """All caches of a launched model. The faces share it.

    Args:
        spec: what the model keeps.
        variants: of the model.
    """

    def __init__(self, spec: StateSpec, variants: Sequence[Variant]) -> None:
        self.spec = spec
        self.variants = tuple(variants)
        hidden = spec.hidden
        #: What callers see.
        self.inputs = [tensor for tensor in variants[0].inputs if tensor.name not in hidden]
        self.outputs = [tensor for tensor in variants[0].outputs if tensor.name not in hidden]
        #: Tokens that a step of each variant takes.
        self.rooms = [_room(variant, spec.tokens) for variant in variants]
        #: Whether rows of zeros at the end of a step harm nobody.
        self.pads = spec.appends and all(one.name in spec.tokens for one in self.outputs)
        self.turns = Turns()
        #: Held by threads that take a turn for a job of the background.
        self.queueing = threading.Lock()
        first = variants[0]
        spare = max((_step(spec, variant) for variant in variants), default=0)
        self.caches = tuple(
            Cache(cache, first.values[cache.input].shape, spec.slots, spare)
            for cache in spec.caches
        )
        grown = [c.info.shape[c.info.axis] for c in self.caches if c.info.axis is not None]
        #: Rows of the shortest cache that grows; None when none does.
        self.capacity = min(grown) if grown else None

    @property
    def infos(self) -> list[CacheInfo]:
        """Return a description of every cache."""
        return [cache.info for cache in self.caches]

    def check_slot(self, slot: object) -> int:
        """Return a slot as an integer.

        Raises:
            InvalidError: if the model has no such slot.
        """
        if hasattr(slot, "__index__") and 0 <= int(slot.__index__()) < self.spec.slots:
            return int(slot.__index__())
        raise InvalidError(f"cache_id {slot!r}: the model has the slots 0 to {self.spec.slots - 1}")

    def check_room(self, cache_size: int, tokens: int) -> None:
        """Check that the tokens of a call find room behind ``cache_size``.

        Raises:
            InvalidError: if the size is negative.
            CacheOverflowError: if they do not.
        """
        if cache_size < 0:
            raise InvalidError(f"cache_size must be at least 0, got {cache_size}")
        if self.capacity is not None and cache_size + tokens > self.capacity:
            raise CacheOverflowError(
                f"{tokens} tokens after {cache_size} do not fit a cache of {self.capacity}: rewind "
                "by a smaller cache_size, or begin anew with 0"
            )

    @contextlib.contextmanager
    def _writing(self, arrays: Sequence[Array]) -> Iterator[None]:
        """Keep the device away; it may still write what a cancelled request left behind."""
        claim = _guard.claim(arrays)
        try:
            yield
        finally:
            _guard.release(claim)

    # ---- whole slots

    def dump(self, slot: int) -> dict[str, bytes]:
        """Return the contents of a slot by cache name: row-major float32, little-endian.

        Raises:
            BufferInUseError: if a cancelled request may still write there.
        """
        views = [cache.whole(slot) for cache in self.caches]
        with self._writing(views):
            return {
                cache.info.name: np.ascontiguousarray(view).tobytes()
                for cache, view in zip(self.caches, views, strict=True)
            }

    def load(self, slot: int, contents: Mapping[str, bytes]) -> None:
        """Put contents that ``dump`` returned, of all caches or some, back into a slot.

        Raises:
            InvalidError: if there is no cache of a name.
            ShapeError: if contents have another size than the cache; then nothing is changed.
            BufferInUseError: if a cancelled request may still write there.
        """
        by_name = {cache.info.name: cache for cache in self.caches}
        made: list[tuple[Array, Array]] = []
        for name, data in contents.items():
            cache = by_name.get(name)
            if cache is None:
                raise InvalidError(f"the model has no cache {name!r}, only {', '.join(by_name)}")
            if len(data) != cache.info.size:
                raise ShapeError(
                    f"cache {name!r} has {cache.info.size} bytes a slot, got {len(data)}"
                )
            values = np.frombuffer(data, np.float32).reshape(cache.info.shape)
            made.append((cache.whole(slot), values))
        with self._writing([view for view, _ in made]):
            for view, values in made:
                view[...] = values

    def reset(self, slot: int, *, fixed_only: bool = False) -> None:
        """Fill a slot with zeros.

        Args:
            slot: which one.
            fixed_only: leave the caches that grow alone.

        Raises:
            BufferInUseError: if a cancelled request may still write there.
        """
        chosen = [c for c in self.caches if c.info.axis is None or not fixed_only]
        views = [cache.whole(slot) for cache in chosen]
        with self._writing(views):
            for view in views:
                view[...] = 0

    # ---- rows

    def filter_tail(self, slot: int, cache_size: int, tail_size: int, mask: Sequence[bool]) -> int:
        """Keep the rows of the tail that a mask says, moved together; return the new size.

        Caches of fixed size have no rows and stay as they are.

        Args:
            slot: which one.
            cache_size: tokens in the cache.
            tail_size: how many of the last of them the mask is about.
            mask: one truth value a row of the tail.

        Raises:
            InvalidError: if the numbers do not suit each other.
            CacheOverflowError: if ``cache_size`` is larger than the cache.
            BufferInUseError: if a cancelled request may still write there.
        """
        kept = [bool(keep) for keep in mask]
        if not 0 <= tail_size <= min(cache_size, MAX_TAIL) or len(kept) != tail_size:
            raise InvalidError(
                f"a tail of {tail_size} in a cache of {cache_size} with a mask of {len(kept)}: the "
                f"tail is at most {MAX_TAIL} and the cache, and the mask has one entry a row of it"
            )
        self.check_room(cache_size, 0)
        start = cache_size - tail_size
        rows = [start + row for row, keep in enumerate(kept) if keep]
        self._gather(slot, start, rows)
        return start + len(rows)

    def move_tail(self, slot: int, num_head: int, num_tail: int, cache_size: int) -> int:
        """Move the last rows to just behind the first; return the new size.

        Args:
            slot: which one.
            num_head: rows at the beginning that stay.
            num_tail: rows at the end that follow them afterwards.
            cache_size: tokens in the cache.

        Raises:
            InvalidError: if head and tail together are more than the cache.
            CacheOverflowError: if ``cache_size`` is larger than the cache.
            BufferInUseError: if a cancelled request may still write there.
        """
        if min(num_head, num_tail) < 0 or num_head + num_tail > cache_size:
            raise InvalidError(
                f"a head of {num_head} and a tail of {num_tail} are not in a cache of {cache_size}"
            )
        self.check_room(cache_size, 0)
        self._gather(slot, num_head, list(range(cache_size - num_tail, cache_size)))
        return num_head + num_tail

    def _gather(self, slot: int, start: int, rows: Sequence[int]) -> None:
        """Put rows, in order, where ``start`` is: all are read before one is written."""
        grown = [(cache, cache.info.axis) for cache in self.caches if cache.info.axis is not None]
        with self._writing([cache.whole(slot) for cache, _ in grown]):
            for cache, axis in grown:
                target = cache.rows(slot, start, start + len(rows))
                target[...] = np.take(cache.whole(slot), rows, axis=axis)


def _describe(spec: CacheSpec, shape: tuple[int, ...], slots: int) -> CacheInfo:
    size = 4 * math.prod(shape)
    return CacheInfo(spec.name, spec.layer_hash, size, slots, shape, spec.axis)


def cache_infos(manifest: Manifest) -> list[CacheInfo]:
    """Return the caches that a model will have."""
    state, values = manifest.state, manifest.variants[0].values
    caches = () if state is None else state.caches
    slots = 1 if state is None else state.slots
    return [_describe(cache, values[cache.input].shape, slots) for cache in caches]


def _room(variant: Variant, tokens: Mapping[str, int]) -> int:
    """Return how many tokens a step of a variant takes; 1 where none are counted."""
    sizes = [one.shape[tokens[one.name]] for one in variant.inputs if one.name in tokens]
    return sizes[0] if sizes else 1


def _step(spec: StateSpec, variant: Variant) -> int:
    """Return how many rows a step of a variant may write."""
    made = [
        variant.values[cache.output].shape[cache.axis]
        for cache in spec.caches
        if cache.axis is not None
    ]
    return max(made, default=0)
