"""Strided views of planned memory, in ONNX dimension order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from maccel_aio.compiler.ir import TensorQuant
from maccel_aio.compiler.isa import ITEMSIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maccel_aio.compiler.ir import QuantDtype

FOREVER = 1 << 30


@dataclass(eq=False)
class Buffer:
    """Memory that the planner places; filled while instructions are emitted.

    Attributes:
        size: bytes.
        first: instruction that writes it first; -1 for inputs.
        last: last instruction that uses it; `FOREVER` for outputs.
        offset: place in the arena, set by the planner.
        alias: the buffer that this one was merged into, or None.
    """

    size: int
    first: int = FOREVER
    last: int = -1
    offset: int = -1
    alias: Buffer | None = None

    @property
    def root(self) -> Buffer:
        """The buffer that is placed: itself, or the one it was merged into."""
        return self if self.alias is None else self.alias.root

    def use(self, step: int) -> None:
        """Extend the lifetime to instruction `step`."""
        self.first, self.last = min(self.first, step), max(self.last, step)


@dataclass(frozen=True)
class View:
    """A tensor in memory: element (i0, i1, ...) lies at ``offset + sum(i * stride)`` bytes.

    Attributes:
        dims: ONNX shape.
        strides: bytes, one per dimension; 0 repeats (never in a view that is written).
        pad_channels: the bytes up to the next pixel belong to this view, see mxq.h.
    """

    buffer: Buffer
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: QuantDtype
    scale: float = 1.0
    zero: int = 0
    offset: int = 0
    pad_channels: bool = field(default=False)

    @property
    def item(self) -> int:
        """Bytes of an element."""
        return ITEMSIZE[self.dtype]

    @property
    def quant(self) -> TensorQuant:
        """The format of the elements."""
        return TensorQuant(self.dtype, self.scale, self.zero)

    @property
    def is_float(self) -> bool:
        """Whether elements are real numbers."""
        return self.dtype == "f32"

    def stored_as(self, quant: TensorQuant) -> bool:
        """Whether the elements have this format."""
        return (self.dtype, self.scale, self.zero) == (quant.dtype, quant.scale, quant.zero)

    def permute(self, perm: Sequence[int]) -> View:
        """Return the view with dimension k being dimension ``perm[k]`` of this one."""
        dims, strides = tuple(self.dims[p] for p in perm), tuple(self.strides[p] for p in perm)
        return replace(self, dims=dims, strides=strides)

    def slice(self, starts: Sequence[int], sizes: Sequence[int], steps: Sequence[int]) -> View:
        """Return ``sizes`` elements from ``starts`` on, every ``steps``-th."""
        move = sum(s * stride for s, stride in zip(starts, self.strides, strict=True))
        strides = tuple(s * stride for s, stride in zip(steps, self.strides, strict=True))
        return replace(
            self,
            offset=self.offset + move,
            dims=tuple(sizes),
            strides=strides,
            pad_channels=False,
        )

    def part(self, axis: int, start: int, size: int) -> View:
        """Return a slice along one dimension."""
        starts = [start if d == axis else 0 for d in range(len(self.dims))]
        sizes = [size if d == axis else n for d, n in enumerate(self.dims)]
        return self.slice(starts, sizes, [1] * len(self.dims))

    def expand(self, dims: Sequence[int]) -> View:
        """Return the view repeated to `dims` by numpy's rule."""
        lead = len(dims) - len(self.dims)
        old = (1,) * lead + self.dims
        strides = (0,) * lead + self.strides
        kept = tuple(s if a == b else 0 for a, b, s in zip(old, dims, strides, strict=True))
        return replace(self, dims=tuple(dims), strides=kept, pad_channels=False)

    def reshape(self, dims: Sequence[int]) -> View | None:
        """Return the same elements in row-major order as `dims`, or None if that needs a copy."""
        strides = reshaped_strides(self.dims, self.strides, dims, self.item)
        if strides is None:
            return None
        return replace(self, dims=tuple(dims), strides=strides, pad_channels=False)

    def order(self) -> tuple[int, ...]:
        """Return the dimensions from the largest stride to the smallest."""
        return tuple(sorted(range(len(self.dims)), key=lambda d: (-self.strides[d], d)))


def reshaped_strides(
    dims: Sequence[int], strides: Sequence[int], new: Sequence[int], item: int
) -> tuple[int, ...] | None:
    """Return the strides of `new` dimensions over the same elements, None if there are none."""
    old = [(n, s) for n, s in zip(dims, strides, strict=True) if n != 1]
    result: list[int] = [0] * len(new)
    wanted = [d for d in range(len(new)) if new[d] != 1]
    at = 0
    k = 0
    while at < len(old) and k < len(wanted):
        first_new = k
        have, want = old[at][0], new[wanted[k]]
        while have != want:
            if have < want:
                at += 1
                if at >= len(old) or old[at - 1][1] != old[at][0] * old[at][1]:
                    return None
                have *= old[at][0]
            else:
                k += 1
                want *= new[wanted[k]]
        step = old[at][1]
        for position in range(k, first_new - 1, -1):
            result[wanted[position]] = step
            step *= new[wanted[position]]
        at, k = at + 1, k + 1
    for d in range(len(new) - 1, -1, -1):
        if new[d] == 1:
            result[d] = result[d + 1] * new[d + 1] if d + 1 < len(new) else item
    return tuple(result)


def packed_strides(
    dims: Sequence[int], order: Sequence[int], item: int, pitch: int = 0
) -> list[int]:
    """Return strides of `dims` packed in `order` (outermost first).

    Args:
        dims: in ONNX order.
        order: dimensions, outermost first.
        item: bytes of an element.
        pitch: bytes between neighbours of the last but one dimension in `order`; 0 packs them.
    """
    strides = [0] * len(dims)
    step = item
    for position, d in enumerate(reversed(order)):
        strides[d] = step
        step *= dims[d]
        if position == 0 and pitch:
            step = pitch
    return strides
