"""Which core of which cluster, as clients name it."""

from __future__ import annotations

import dataclasses
import enum
import functools
from typing import Any, ClassVar, Generic, Self, TypeVar

from maccel_aio._typing import override
from maccel_aio.compat._shared.fields import describe
from maccel_aio.compat._shared.raw_enum import RawEnum, raw_value

ClusterT = TypeVar("ClusterT", bound=enum.Enum)
CoreT = TypeVar("CoreT", bound=enum.Enum)


@dataclasses.dataclass
class RawCoreId:
    """The inner layer: members of the inner enums."""

    cluster: RawEnum
    core: RawEnum

    @property
    def rank(self) -> tuple[int, int]:
        """The place among cores: by cluster, then core, by their integers."""
        return int(self.cluster), int(self.core)


@functools.total_ordering
class BaseCoreId(Generic[ClusterT, CoreT]):
    """One core of one cluster. Equal, ordered and hashed by value.

    Do not assign to one that is in a set or a key of a dictionary.

    Args:
        cluster: the cluster.
        core: the core in it.

    Raises:
        AttributeError: if an argument is no enum member.
        TypeError: if it is a member of another enum.
    """

    _clusters: ClassVar[type[enum.Enum]]
    _cores: ClassVar[type[enum.Enum]]
    _raw_cluster: ClassVar[type[RawEnum]]
    _raw_core: ClassVar[type[RawEnum]]

    def __init__(self, cluster: ClusterT, core: CoreT) -> None:
        self._core_id = RawCoreId(
            raw_value(cluster, self._raw_cluster), raw_value(core, self._raw_core)
        )

    @classmethod
    def from_cpp(cls, _core_id: Any) -> Self:  # noqa: ANN401 - whatever has the attributes
        """Make one of an object with inner enum members."""
        return cls(cls._clusters(_core_id.cluster), cls._cores(_core_id.core))  # type: ignore[arg-type]

    @property
    def cluster(self) -> ClusterT:
        """The cluster."""
        return self._clusters(self._core_id.cluster)  # type: ignore[return-value]

    @cluster.setter
    def cluster(self, value: ClusterT) -> None:
        self._core_id.cluster = raw_value(value, self._raw_cluster)

    @property
    def core(self) -> CoreT:
        """The core in it."""
        return self._cores(self._core_id.core)  # type: ignore[return-value]

    @core.setter
    def core(self, value: CoreT) -> None:
        self._core_id.core = raw_value(value, self._raw_core)

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self._core_id == other._core_id

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self._core_id.rank < other._core_id.rank

    @override
    def __hash__(self) -> int:
        return hash(self._core_id.rank)

    def __copy__(self) -> Self:
        return self.from_cpp(self._core_id)

    @override
    def __repr__(self) -> str:
        return describe(self, ("cluster", "core"))
