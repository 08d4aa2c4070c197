"""What one sequence brings to a step of a batched language model."""

from __future__ import annotations

from typing import Any

from maccel_aio._typing import override
from maccel_aio.compat._shared import convert
from maccel_aio.compat._shared.fields import Field, describe
from maccel_aio.errors import CacheOverflowError, NoCacheError, ShapeError


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


def check_params(params: Any, slots: int) -> None:  # noqa: ANN401 - whatever a client brings
    """Check what sequences say of themselves; the core checks them against the inputs.

    Args:
        params: of the sequences of a call.
        slots: of the model's caches.

    Raises:
        TypeError: if they are no list of ``BatchParam``.
        NoCacheError: if one is about a slot that there is not.
        CacheOverflowError: if one has a negative number of tokens in its cache.
        ShapeError: if one brings no token, or two share a slot.
    """
    if not isinstance(params, list | tuple) or not all(isinstance(p, BatchParam) for p in params):
        raise TypeError(f"incompatible argument: a list of BatchParam is needed, got {params!r}")
    for param in params:
        if not 0 <= param.cache_id < slots:
            raise NoCacheError(f"there is no cache_id {param.cache_id}: the model has {slots}")
        check_size(param.cache_size)
        if param.sequence_length < 1:
            raise ShapeError(f"every sequence brings at least one token: {param!r}")
    if len({param.cache_id for param in params}) != len(params):
        raise ShapeError("each sequence of a call needs a cache_id of its own")


def check_size(cache_size: int) -> None:
    """Check a number of tokens in a cache.

    Raises:
        CacheOverflowError: if it is negative.
    """
    if cache_size < 0:
        raise CacheOverflowError(f"cache_size must be at least 0, got {cache_size}")
