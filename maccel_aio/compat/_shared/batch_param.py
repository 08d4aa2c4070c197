"""What one sequence brings to a step of a batched language model."""

from __future__ import annotations

from maccel_aio._typing import override
from maccel_aio.compat._shared import convert
from maccel_aio.compat._shared.fields import Field, describe


class BatchParam:
    """One item of a batched step.

    Args:
        sequence_length: tokens of this step.
        cache_size: tokens that its cache holds before.
        cache_id: the slot of its cache.

    Raises:
        TypeError: if one is no signed integer of 32 bits.
    """

    sequence_length = Field(convert.int32, "Tokens of this step.")
    cache_size = Field(convert.int32, "Tokens that the cache holds before.")
    cache_id = Field(convert.int32, "The slot of the cache.")

    def __init__(self, sequence_length: int = 0, cache_size: int = 0, cache_id: int = 0) -> None:
        self.sequence_length = sequence_length
        self.cache_size = cache_size
        self.cache_id = cache_id

    @override
    def __repr__(self) -> str:
        return describe(self, ("sequence_length", "cache_size", "cache_id"))
