"""Finds chains of instructions that can run band by band: each reads only nearby rows of the last.

A link is an image that one instruction writes and only the next one reads. For a row of its output
the reader needs a few rows of it, so a band of rows can stay in the cache, not the whole image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from maccel_aio.compiler.isa import Op

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maccel_aio.compiler.lower.emit import Instruction
    from maccel_aio.compiler.view import Buffer, View

_LOCAL = frozenset({Op.CONV, Op.DWCONV, Op.CONVF, Op.POOL})


@dataclass(frozen=True)
class Rows:
    """How an instruction reads rows: row r of its output from rows around ``r * step``.

    Attributes:
        taps: rows that the window spans.
        step: rows from one output row to the next.
        before: rows of padding above.
        size: rows of the input.
    """

    taps: int
    step: int
    before: int
    size: int

    @classmethod
    def of(cls, insn: Instruction) -> Rows:
        """Return the rows of an instruction that `is_local`."""
        taps = (insn.ints[0] - 1) * insn.ints[8] + 1
        return cls(taps, insn.ints[2], insn.ints[4], image(insn).dims[1])

    def needed(self, first: int, end: int) -> tuple[int, int]:
        """Return the input rows [first, end) that output rows [first, end) read."""
        return (
            max(0, first * self.step - self.before),
            min(self.size, (end - 1) * self.step - self.before + self.taps),
        )

    def pads(self, first: int, end: int) -> tuple[int, int]:
        """Return the rows of padding above and below what output rows [first, end) read."""
        above = self.before - first * self.step
        below = (end - 1) * self.step - self.before + self.taps - self.size
        return max(0, above), max(0, below)


def image(insn: Instruction) -> View:
    """Return the image that a local instruction slides over."""
    view = insn.inputs[0]
    assert view is not None
    return view


def is_local(insn: Instruction) -> bool:
    """Whether every row of all outputs depends on nearby rows of the inputs only."""
    if insn.op not in _LOCAL:
        return False
    views = [view for view in (*insn.inputs, *insn.outputs) if view is not None]
    if any(len(view.dims) != 4 or view.dims[0] != 1 for view in views):
        return False
    rows = {view.dims[1] for view in (*insn.inputs[1:], *insn.outputs) if view is not None}
    return len(rows) == 1


def find_chains(instructions: Sequence[Instruction]) -> list[tuple[int, int]]:
    """Return every longest chain of at least two instructions as [first, end)."""
    chains: list[tuple[int, int]] = []
    first = 0
    for step in range(len(instructions)):
        if step + 1 < len(instructions) and _linked(instructions, step):
            continue
        if step > first:
            chains.append((first, step + 1))
        first = step + 1
    return chains


def _linked(instructions: Sequence[Instruction], step: int) -> bool:
    """Whether one instruction's image is read by the next one, and by nothing else."""
    maker, reader = instructions[step], instructions[step + 1]
    if not (is_local(maker) and is_local(reader)):
        return False
    out, source = maker.outputs[0], image(reader)
    root = out.buffer.root
    others = [*reader.inputs[1:], *reader.outputs, *maker.inputs, *maker.outputs[1:]]
    alone = all(view is None or view.buffer.root is not root for view in others)
    return out == source and alone and (root.first, root.last) == (step, step + 1)


def written_in_place(chain: Sequence[Instruction]) -> Buffer | None:
    """Return the buffer that the chain both reads from outside and writes, if there is one.

    Raises:
        ValueError: the chain must not be cut into bands.
    """
    written = {id(view.buffer.root) for insn in chain for view in insn.outputs}
    links = {id(insn.outputs[0].buffer.root) for insn in chain[:-1]}
    out, first = chain[-1].outputs[0], image(chain[0])
    found: Buffer | None = None
    for insn in chain:
        for slot, view in enumerate(insn.inputs):
            if view is None or id(view.buffer.root) not in written - links:
                continue
            read_here = view is first or (slot == 1 and insn is chain[-1])
            place = (view.offset, view.dims, view.strides)
            if not read_here or place != (out.offset, out.dims, out.strides):
                raise ValueError("a row may be overwritten before it was read")
            found = out.buffer.root
    return found
