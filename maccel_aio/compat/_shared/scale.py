"""Quantisation scales as clients read them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Self

from maccel_aio._typing import override
from maccel_aio.compat._shared import convert
from maccel_aio.compat._shared.fields import Field, ListField, describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_singles = functools.partial(convert.items, convert=convert.single)
_integers = functools.partial(convert.items, convert=convert.int8)


class SymmetricScale:
    """real = quantised * scale, with one scale or one for each channel.

    Args:
        scale: the only scale, where ``is_uniform``.
        is_uniform: whether one scale holds for every channel.
        scale_list: one scale a channel, where not.

    Raises:
        TypeError: if an argument is not of its type.
    """

    scale = Field(convert.single, "The scale of every channel, single precision.")
    is_uniform = Field(convert.truth, "Whether one scale holds for every channel.")
    scale_list: ListField[float] = ListField(_singles, "The scales of the channels.")

    def __init__(self, scale: float, is_uniform: bool, scale_list: Sequence[float]) -> None:
        self.scale = scale
        self.is_uniform = is_uniform
        self.scale_list = scale_list

    @classmethod
    def from_cpp(cls, _scale: Any) -> Self:  # noqa: ANN401 - whatever has the attributes
        """Make one of any object with the same attributes."""
        return cls(_scale.scale, _scale.is_uniform, _scale.scale_list)

    def __getitem__(self, i: int) -> float:
        """Return the scale of channel ``i``; every ``i`` has it where the scale is uniform.

        Raises:
            IndexError: if there is no such channel.
            TypeError: if ``i`` is no integer.
        """
        index = convert.int64(i)
        if self.is_uniform:
            return self.scale
        scales = self.scale_list
        if not 0 <= index < len(scales):
            raise IndexError(f"there is no scale {index}: the list has {len(scales)}")
        return scales[index]

    def __iter__(self) -> Iterator[float]:
        """Go through the scales of the channels.

        Raises:
            TypeError: if the scale is uniform: it has no end.
        """
        if self.is_uniform:
            raise TypeError("a uniform scale has no number of channels to go through")
        return iter(self.scale_list)

    @override
    def __repr__(self) -> str:
        return describe(self, ("scale", "is_uniform", "scale_list"))


class AsymmetricScale(SymmetricScale):
    """real = (quantised - zero point) * scale.

    Args:
        scale: see the base.
        is_uniform: see the base.
        scale_list: see the base.
        zero_point: the only zero point, where ``is_uniform``.
        is_asymmetric: whether zero points are used.
        zero_points: one a channel; None for none.

    Raises:
        TypeError: if an argument is not of its type.
    """

    zero_point = Field(convert.int8, "The zero point of every channel.")
    is_asymmetric = Field(convert.truth, "Whether zero points are used.")
    zero_points: ListField[int] = ListField(_integers, "The zero points of the channels.")

    def __init__(
        self,
        scale: float,
        is_uniform: bool,
        scale_list: Sequence[float],
        zero_point: int = 0,
        is_asymmetric: bool = False,
        zero_points: Sequence[int] | None = None,
    ) -> None:
        super().__init__(scale, is_uniform, scale_list)
        self.zero_point = zero_point
        self.is_asymmetric = is_asymmetric
        self.zero_points = [] if zero_points is None else zero_points

    @classmethod
    @override
    def from_cpp(cls, _scale: Any) -> Self:  # noqa: ANN401 - as there
        """Make one of any object with the same attributes."""
        return cls(
            _scale.scale,
            _scale.is_uniform,
            _scale.scale_list,
            _scale.zero_point,
            _scale.is_asymmetric,
            _scale.zero_points,
        )

    @override
    def __repr__(self) -> str:
        first = ("scale", "is_uniform", "scale_list")
        return describe(self, (*first, "zero_point", "is_asymmetric", "zero_points"))
