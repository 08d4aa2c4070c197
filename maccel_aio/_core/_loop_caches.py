"""The caches of a model, for event loops."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from maccel_aio._core._loop_model import LoopModel
from maccel_aio._core._turns import LoopTurn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence


class LoopCaches(LoopModel):
    """What a model with state offers beside ``infer``. Every call waits for its turn of the slot.

    A slot of a cache is what one sequence sees: a ``cache_id``. The caller counts its tokens.
    """

    @contextlib.asynccontextmanager
    async def _slot(self, cache_id: int) -> AsyncIterator[int]:
        state = self._state()
        slot = state.check_slot(cache_id)
        async with LoopTurn(state.turns, [slot]) as turn:
            await turn.wait()
            yield slot

    async def dump_cache(self, cache_id: int = 0) -> dict[str, bytes]:
        """Return the whole contents of a slot, by cache name: row-major float32.

        Raises:
            NoCacheError: if the model has none.
            InvalidError: if it has no such slot.
            BufferInUseError: if the device may still write there for a cancelled request.
        """
        async with self._slot(cache_id) as slot:
            return self._state().dump(slot)

    async def load_cache(self, contents: Mapping[str, bytes], cache_id: int = 0) -> None:
        """Put back what ``dump_cache`` returned, for all caches or some.

        Raises:
            NoCacheError: if the model has none.
            InvalidError: if it has no such slot, or no cache of a name.
            ShapeError: if contents have another size; nothing is changed then.
            BufferInUseError: if the device may still write there for a cancelled request.
        """
        async with self._slot(cache_id) as slot:
            self._state().load(slot, contents)

    async def reset_cache(self, cache_id: int = 0, *, fixed_only: bool = False) -> None:
        """Fill a slot with zeros, as it is after loading.

        Args:
            cache_id: which one.
            fixed_only: leave caches that grow alone; these need no reset, only ``cache_size=0``.

        Raises:
            NoCacheError: if the model has none.
            InvalidError: if it has no such slot.
            BufferInUseError: if the device may still write there for a cancelled request.
        """
        async with self._slot(cache_id) as slot:
            self._state().reset(slot, fixed_only=fixed_only)

    async def filter_cache_tail(
        self, cache_size: int, tail_size: int, mask: Sequence[bool], cache_id: int = 0
    ) -> int:
        """Keep the rows of the tail that a mask says, moved together; return the new size.

        Args:
            cache_size: tokens in the slot.
            tail_size: how many of the last of them the mask is about, at most 32.
            mask: one truth value a row of the tail.
            cache_id: which slot.

        Raises:
            NoCacheError: if the model has none.
            InvalidError: if the numbers do not suit each other, or there is no such slot.
            CacheOverflowError: if ``cache_size`` is larger than the cache.
        """
        async with self._slot(cache_id) as slot:
            return self._state().filter_tail(slot, cache_size, tail_size, mask)

    async def move_cache_tail(
        self, num_head: int, num_tail: int, cache_size: int, cache_id: int = 0
    ) -> int:
        """Move the last rows to just behind the first ones; return the new size.

        Args:
            num_head: rows at the beginning that stay.
            num_tail: rows at the end that follow them afterwards.
            cache_size: tokens in the slot.
            cache_id: which slot.

        Raises:
            NoCacheError: if the model has none.
            InvalidError: if head and tail are more than the cache, or there is no such slot.
            CacheOverflowError: if ``cache_size`` is larger than the cache.
        """
        async with self._slot(cache_id) as slot:
            return self._state().move_tail(slot, num_head, num_tail, cache_size)
