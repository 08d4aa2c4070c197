"""Which arguments the classic packages accept, and what they make of them.

Their bound functions convert arguments in one way for every call: integers have a width, floats
become single precision, a truth value is whatever has one of its own, text may be bytes. Every
refusal is a TypeError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def _refuse(wanted: str, value: object) -> TypeError:
    return TypeError(f"incompatible argument: {wanted} is needed, got {value!r}")


def integer(value: Any, low: int, high: int) -> int:  # noqa: ANN401 - anything may come
    """Return an integer within [low, high].

    Raises:
        TypeError: if it is a float, cannot become an integer, or lies outside.
    """
    if isinstance(value, float | str | bytes | bytearray):
        raise _refuse("an integer", value)
    try:
        number = value.__index__() if hasattr(value, "__index__") else value.__int__()
    except (AttributeError, ValueError):
        raise _refuse("an integer", value) from None
    if not low <= number <= high:
        raise _refuse(f"an integer from {low} to {high}", value)
    return int(number)


def int8(value: object) -> int:
    """Return a signed integer of 8 bits, or raise TypeError."""
    return integer(value, -128, 127)


def int32(value: object) -> int:
    """Return a signed integer of 32 bits, or raise TypeError."""
    return integer(value, -(1 << 31), (1 << 31) - 1)


def int64(value: object) -> int:
    """Return a signed integer of 64 bits, or raise TypeError."""
    return integer(value, -(1 << 63), (1 << 63) - 1)


def uint32(value: object) -> int:
    """Return an unsigned integer of 32 bits, or raise TypeError."""
    return integer(value, 0, (1 << 32) - 1)


def uint64(value: object) -> int:
    """Return an unsigned integer of 64 bits, or raise TypeError."""
    return integer(value, 0, (1 << 64) - 1)


def single(value: Any) -> float:  # noqa: ANN401 - anything may come
    """Return a float rounded to single precision; too large becomes infinite.

    Raises:
        TypeError: if it is no number.
    """
    if isinstance(value, str | bytes | bytearray):
        raise _refuse("a number", value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise _refuse("a number", value) from None
    with np.errstate(over="ignore"):
        return float(np.float32(number))


def truth(value: object) -> bool:
    """Return the truth value of None, or of what defines one of its own.

    Raises:
        TypeError: for text and containers, whose truth is only their length.
    """
    if value is None:
        return False
    if not hasattr(type(value), "__bool__"):
        raise _refuse("a truth value", value)
    return bool(value)


def text(value: object) -> str:
    """Return text; bytes are taken as UTF-8.

    Raises:
        TypeError: if it is neither.
        UnicodeDecodeError: if bytes are not UTF-8.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray):
        return value.decode()
    raise _refuse("text", value)


def items(value: Any, convert: Callable[[object], T]) -> list[T]:  # noqa: ANN401 - anything
    """Return a new list of a sequence's converted items.

    Raises:
        TypeError: if it is no sequence, is text, or an item cannot be converted.
    """
    listed = isinstance(value, list | tuple | np.ndarray)
    if not listed and (isinstance(value, str | bytes | dict) or not hasattr(value, "__getitem__")):
        raise _refuse("a sequence", value)
    return [convert(item) for item in value]
