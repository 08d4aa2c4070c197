"""One KV cache of a model, as clients list them."""

from __future__ import annotations

import enum
from typing import Any, ClassVar, Generic, Self, TypeVar

from maccel_aio.compat._shared import convert
from maccel_aio.compat._shared.fields import Field
from maccel_aio.compat._shared.raw_enum import RawEnum, raw_value

CacheTypeT = TypeVar("CacheTypeT", bound=enum.Enum)


class BaseCacheInfo(Generic[CacheTypeT]):
    """One KV cache of a model; the faces add the constructor with their own default.

    Raises:
        AttributeError: if the type is no enum member.
        TypeError: if an attribute is not of its type.
    """

    _types: ClassVar[type[enum.Enum]]
    _raw_type: ClassVar[type[RawEnum]]

    name = Field(convert.text, "The name of the layer.")
    layer_hash = Field(convert.text, "What tells the layer apart from others.")
    size = Field(convert.uint64, "Bytes of the cache.")
    num_batches = Field(convert.uint64, "How many sequences have a slot of their own.")

    def _fill(
        self, cache_type: CacheTypeT, name: str, layer_hash: str, size: int, num_batches: int
    ) -> None:
        self._cache_type = raw_value(cache_type, self._raw_type)
        self.name = name
        self.layer_hash = layer_hash
        self.size = size
        self.num_batches = num_batches

    @classmethod
    def from_cpp(cls, _cache_info: Any) -> Self:  # noqa: ANN401 - whatever has the attributes
        """Make one of an object with the same attributes and an inner enum member."""
        made = cls()
        made._fill(
            cls._types(_cache_info.cache_type),  # type: ignore[arg-type]
            _cache_info.name,
            _cache_info.layer_hash,
            _cache_info.size,
            _cache_info.num_batches,
        )
        return made

    @property
    def cache_type(self) -> CacheTypeT:
        """The kind of cache."""
        return self._types(self._cache_type)  # type: ignore[return-value]

    @cache_type.setter
    def cache_type(self, value: CacheTypeT) -> None:
        self._cache_type = raw_value(value, self._raw_type)
