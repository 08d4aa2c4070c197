"""Places buffers in one arena so that those which live at the same time do not overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maccel_aio.compiler.isa import ALIGN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maccel_aio.compiler.view import Buffer


#: Bytes kept free behind every buffer: kernels may read so far behind their operands, and what lies
#: there must not be written by another core at that moment.
SLACK = 64


def align(size: int, to: int = ALIGN) -> int:
    """Return `size` rounded up to a multiple of `to`."""
    return -(-size // to) * to


def plan(buffers: Iterable[Buffer]) -> int:
    """Set the offset of every buffer and return the size of the arena in bytes.

    Largest first; each goes to the smallest gap between those that it meets in time.
    """
    roots = [b for b in buffers if b.alias is None and b.last >= b.first]
    placed: list[Buffer] = []
    total = 0
    for buffer in sorted(roots, key=lambda b: (-b.size, b.first, b.last)):
        meets = sorted((b for b in placed if _meet(buffer, b)), key=lambda b: b.offset)
        buffer.offset = _best_gap(buffer.size, meets)
        placed.append(buffer)
        total = max(total, buffer.offset + align(buffer.size + SLACK))
    return max(total, ALIGN)


def _meet(a: Buffer, b: Buffer) -> bool:
    return a.first <= b.last and b.first <= a.last


def _best_gap(size: int, meets: list[Buffer]) -> int:
    need, end = align(size + SLACK), 0
    best: tuple[int, int] | None = None
    for other in meets:
        gap = other.offset - end
        if gap >= need and (best is None or gap < best[0]):
            best = (gap, end)
        end = max(end, other.offset + align(other.size + SLACK))
    return end if best is None else best[1]
