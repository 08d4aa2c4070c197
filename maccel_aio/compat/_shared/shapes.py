"""Which variant and layout the arrays of a classic call have, and what its outputs must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maccel_aio._typing import Array, DType

Shape = tuple[int, ...]
_INVALID = "Input shape is invalid."


class Layouts(NamedTuple):
    """In which layouts the arrays of a call fit a variant."""

    hwc: bool
    chw: bool

    def choose(self, wanted: bool | None) -> bool:
        """Return whether to run as HWC.

        Args:
            wanted: True for HWC, False for CHW, None for what fits; HWC wins where both do.

        Raises:
            ValueError: if the arrays only fit the other layout.
        """
        if wanted is None:
            return self.hwc
        if not (self.hwc if wanted else self.chw):
            raise ValueError(_INVALID)
        return wanted


def fits(given: Shape, expected: Shape) -> bool:
    """Return whether an array fits a shape, with or without one leading batch dimension.

    Args:
        given: shape of the array.
        expected: dimensions; -k takes every multiple of k.
    """
    if len(given) - len(expected) not in (0, 1):
        return False
    own = given[len(given) - len(expected) :]
    return all(_dim_fits(one, wanted) for one, wanted in zip(own, expected, strict=True))


def _dim_fits(given: int, expected: int) -> bool:
    return given == expected if expected >= 0 else given % -expected == 0


def chw_shape(shape: Shape) -> Shape:
    """Return (channel, height, width) of (height, width, channel)."""
    return shape[2], shape[0], shape[1]


def find_layouts(given: Sequence[Shape], expected: Sequence[Shape]) -> Layouts | None:
    """Return in which layouts all arrays fit the inputs of a variant, or None.

    Args:
        given: shapes of the arrays.
        expected: (height, width, channel) of each input.
    """
    if len(given) != len(expected):
        return None
    pairs = list(zip(given, expected, strict=True))
    hwc = all(fits(one, shape[:3]) for one, shape in pairs)
    chw = all(fits(one, chw_shape(shape)) for one, shape in pairs)
    return Layouts(hwc, chw) if hwc or chw else None


def find_variant(
    given: Sequence[Shape], variants: Sequence[Sequence[Shape]]
) -> tuple[int, Layouts]:
    """Return the first variant that the arrays fit, and how.

    Args:
        given: shapes of the arrays.
        variants: the shapes of the inputs of each variant.

    Raises:
        ValueError: if they fit none.
    """
    for index, expected in enumerate(variants):
        layouts = find_layouts(given, expected)
        if layouts is not None:
            return index, layouts
    raise ValueError(_INVALID)


def check_outputs(outputs: Sequence[Array], shapes: Sequence[Shape], dtype: DType) -> None:
    """Check the arrays that a caller brings for the outputs.

    Args:
        outputs: the arrays.
        shapes: what they have to be.
        dtype: likewise.

    Raises:
        ValueError: if their number, an element type or a shape is not right, or one is read-only.
    """
    if len(outputs) != len(shapes):
        raise ValueError("The number of outputs is different.")
    for output, shape in zip(outputs, shapes, strict=True):
        if output.dtype != dtype:
            raise ValueError("Output dtype mismatch.")
        if output.shape != shape:
            raise ValueError("Output shape mismatch.")
        if not output.flags.writeable:
            raise ValueError("Output is read-only.")
