"""The inner layer of the classic enums: members of a face's enum hold one of these as value."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class RawEnum(enum.Enum):
    """An enum whose members convert to their integer: ``int(Core.Core0.value)`` is 1."""

    def __int__(self) -> int:
        return int(self.value)

    def __index__(self) -> int:
        return int(self.value)


def raw_value(member: object, kind: type[RawEnum]) -> RawEnum:
    """Return the inner member of a face's enum member.

    Raises:
        AttributeError: if it has no ``value``: it is no enum member.
        TypeError: if it belongs to another enum.
    """
    return raw_values([member], kind)[0]


def raw_values(members: Iterable[object], kind: type[RawEnum]) -> list[RawEnum]:
    """Return the inner members of several, all looked at before any is refused.

    Raises:
        AttributeError: if one has no ``value``: it is no enum member.
        TypeError: if one belongs to another enum.
    """
    found = [member.value for member in members]  # type: ignore[attr-defined]  # as documented
    return [_checked(raw, kind) for raw in found]


def _checked(raw: object, kind: type[RawEnum]) -> RawEnum:
    if not isinstance(raw, kind):
        raise TypeError(f"incompatible argument: a {kind.__name__} is needed, got {raw!r}")
    return raw
