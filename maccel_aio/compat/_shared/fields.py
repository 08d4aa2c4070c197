"""Attributes that convert what is assigned to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from maccel_aio._typing import override

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Field(Generic[T]):
    """A readable and writable attribute of a value type.

    Args:
        convert: makes the stored value of the assigned one, or raises TypeError.
        doc: what the attribute means.
    """

    def __init__(self, convert: Callable[[object], T], doc: str) -> None:
        self._convert = convert
        self._name = ""
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, owner: None, kind: type, /) -> Self: ...
    @overload
    def __get__(self, owner: object, kind: type, /) -> T: ...
    def __get__(self, owner: object | None, kind: type, /) -> Self | T:
        if owner is None:
            return self
        value: T = vars(owner)[self._name]
        return self._show(value)

    def __set__(self, owner: object, value: Any) -> None:  # noqa: ANN401 - what it converts
        vars(owner)[self._name] = self._convert(value)

    def _show(self, value: T) -> T:
        return value


class ListField(Field[list[T]]):
    """An attribute that holds a list: reading gives a copy, so only assigning changes it."""

    @override
    def _show(self, value: list[T]) -> list[T]:
        return list(value)


def describe(owner: object, names: tuple[str, ...]) -> str:
    """Return the representation of a value type: its class, and these attributes in order."""
    shown = ", ".join(f"{name}={getattr(owner, name)}" for name in names)
    return f"{type(owner).__name__}({shown})"
