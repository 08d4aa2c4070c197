"""Runs chains of layers band by band, so that what passes between them stays in the cache.

expand -> depthwise -> project at 448 x 448 writes and reads megabytes that only the next layer
needs. A band is a few rows of the last output; before each, every layer of the chain computes the
rows that are new to it. Images between the layers become rings of rows: no row is computed twice,
and the rows that the next band needs again are moved when the end of the ring is reached. The bytes
of the results are those of whole layers, because every row is computed as before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from maccel_aio.compiler.isa import CODES, Op
from maccel_aio.compiler.lower.chains import Rows, find_chains, image, written_in_place
from maccel_aio.compiler.lower.emit import CLAMP_SLOTS, Instruction
from maccel_aio.compiler.view import Buffer, View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from maccel_aio.compiler.lower.emit import Emitter

_LEAST_SHARE = 8
"""Images are cut when they are this many times the cache: below, whole layers were as fast."""

_HEIGHTS = {16: 1.0, 12: 0.95, 8: 0.85, 4: 0.4}
"""Rows of a band -> what a saved byte counts: lower bands pay their fixed costs more often."""
_LONGEST = 8
_TOP, _BOTTOM = 4, 6  # slots of the padding


Span = tuple[int, int]


@dataclass(frozen=True)
class Plan:
    """How one chain is cut.

    Attributes:
        bands: per band and instruction the output rows [first, end); equal ends for none.
        rings: rows of the ring behind each instruction but the last.
        saved: bytes of the images that are no longer written as a whole, by their worth.
    """

    bands: tuple[tuple[Span, ...], ...]
    rings: tuple[int, ...]
    saved: int


def cut_into_bands(emitter: Emitter, l2_bytes: int) -> None:
    """Replace the chains of a program whose images overflow the cache by bands.

    Args:
        emitter: the program, with lifetimes, merged in place, not planned.
        l2_bytes: what a core can keep near; 0 for no bands.
    """
    if l2_bytes <= 0:
        return
    old = emitter.instructions
    plans: dict[int, tuple[int, Plan]] = {}
    for first, end in find_chains(old):
        plans.update(_best_cuts(emitter, first, end, l2_bytes))
    if not plans:
        return
    made: list[Instruction] = []
    step = 0
    while step < len(old):
        if step in plans:
            end, plan = plans[step]
            made += _banded(emitter, old[step:end], plan)
            emitter.bands.update((insn.layer, len(plan.bands)) for insn in old[step:end])
            step = end
        else:
            made.append(old[step])
            step += 1
    emitter.replace(made)


# ---- which chains, and how


def _best_cuts(
    emitter: Emitter, first: int, end: int, l2_bytes: int
) -> dict[int, tuple[int, Plan]]:
    """Return the parts of a chain that are cut, first -> (end, plan); they save the most bytes."""
    best: list[tuple[int, dict[int, tuple[int, Plan]]]] = [(0, {})]
    for stop in range(first + 1, end + 1):
        choice = best[-1]
        for start in range(max(first, stop - _LONGEST), stop - 1):
            plan = _plan(emitter, emitter.instructions[start:stop], l2_bytes)
            before, cuts = best[start - first]
            if plan is not None and before + plan.saved > choice[0]:
                choice = before + plan.saved, {**cuts, start: (stop, plan)}
        best.append(choice)
    return best[-1][1]


def _plan(emitter: Emitter, chain: Sequence[Instruction], l2_bytes: int) -> Plan | None:
    """Return how to cut a chain, None where that is no use or not possible."""
    saved = sum(view.dims[1] * view.strides[1] for view in _links(chain))
    if saved <= _LEAST_SHARE * l2_bytes:
        return None
    try:
        shared = written_in_place(chain)
    except ValueError:
        return None
    weights = sum(emitter.constants[insn.consts[0]].nbytes for insn in chain if 0 in insn.consts)
    for height, worth in _HEIGHTS.items():
        bands = _bands(chain, height)
        if bands is None:
            continue
        rings = _rings(chain, bands)
        held = sum(n * v.strides[1] for n, v in zip(rings, _links(chain), strict=True))
        late = shared is not None and not _reads_before_writing(chain, bands)
        if held + weights <= l2_bytes and not late:
            return Plan(bands, rings, int(saved * worth))
    return None


def _links(chain: Sequence[Instruction]) -> list[View]:
    return [insn.outputs[0] for insn in chain[:-1]]


def _bands(chain: Sequence[Instruction], height: int) -> tuple[tuple[Span, ...], ...] | None:
    """Return the rows of every band, None where the last output has too few for two."""
    total = chain[-1].outputs[0].dims[1]
    if total < 2 * height:
        return None
    done = [0] * len(chain)
    bands = []
    for first in range(0, total, height):
        spans: list[Span] = []
        low, end = first, min(first + height, total)
        for place in range(len(chain) - 1, -1, -1):
            start = max(done[place], low)
            end = max(start, end)
            spans.append((start, end))
            if start == end:  # all that is needed is there, and so is all that it was made of
                spans += [(n, n) for n in reversed(done[:place])]
                break
            done[place] = end
            low, end = Rows.of(chain[place]).needed(start, end)
            if low >= end:
                return None  # a window that lies in padding alone
        bands.append(tuple(reversed(spans)))
    return tuple(bands)


def _rings(chain: Sequence[Instruction], bands: Sequence[Sequence[Span]]) -> tuple[int, ...]:
    """Return how many rows each ring needs; with room to move the rows that are needed again."""
    rings = []
    for place in range(len(chain) - 1):
        live = kept = new = 0
        for spans in bands:
            (first, end), (start, stop) = spans[place], spans[place + 1]
            if start == stop:
                continue
            low, _ = Rows.of(chain[place + 1]).needed(start, stop)
            live = max(live, end - low)
            kept = max(kept, first - low)
            new = max(new, end - first)
        extra = max(kept, new) if kept > 0 else 0
        rings.append(min(live + extra, chain[place].outputs[0].dims[1]))
    return tuple(rings)


def _reads_before_writing(chain: Sequence[Instruction], bands: Sequence[Sequence[Span]]) -> bool:
    """Whether no band still reads, through the first instruction, rows that one before wrote."""
    rows = Rows.of(chain[0])
    written = 0
    for spans in bands:
        start, stop = spans[0]
        if start < stop and rows.needed(start, stop)[0] < written:
            return False
        written = spans[-1][1]
    return True


# ---- the instructions


class _Ring:
    """Rows of an image that lie in a few rows of memory; row `origin` is at the start."""

    def __init__(self, whole: View, rows: int, buffer: Buffer) -> None:
        self.whole, self.rows, self.buffer = whole, rows, buffer
        self.origin = 0

    def view(self, first: int, end: int) -> View:
        """Return rows [first, end), which are there."""
        pitch = self.whole.strides[1]
        dims = (1, end - first, *self.whole.dims[2:])
        offset = (first - self.origin) * pitch
        return replace(self.whole, buffer=self.buffer, dims=dims, offset=offset)

    def make_room(self, low: int, first: int, end: int) -> tuple[View, View] | None:
        """Prepare for rows [first, end) beside [low, first); return a copy that must be done."""
        if end - self.origin <= self.rows:
            return None
        moved = self._flat(low, first) if low < first else None
        self.origin = low
        return None if moved is None else (moved, self._flat(low, first))

    def _flat(self, first: int, end: int) -> View:
        """Return rows as one run of elements, what pads the pixels included."""
        whole = self.whole
        count = (end - first) * whole.strides[1] // whole.item
        offset = (first - self.origin) * whole.strides[1]
        return View(
            self.buffer, (count,), (whole.item,), whole.dtype, whole.scale, whole.zero, offset
        )


def _banded(emitter: Emitter, chain: Sequence[Instruction], plan: Plan) -> Iterator[Instruction]:
    """Yield the instructions of a chain, band by band."""
    rings = [
        _Ring(view, rows, emitter.buffer(rows * view.strides[1]))
        for view, rows in zip(_links(chain), plan.rings, strict=True)
    ]
    for spans in plan.bands:
        for place, (insn, span) in enumerate(zip(chain, spans, strict=True)):
            if span[0] == span[1]:
                continue
            if place < len(rings):
                low, _ = Rows.of(chain[place + 1]).needed(*spans[place + 1])
                copy = rings[place].make_room(low, *span)
                if copy is not None:
                    yield _copy(chain[place + 1].layer, *copy)
            source = image(insn) if place == 0 else rings[place - 1]
            out = insn.outputs[0] if place == len(rings) else rings[place]
            yield _part(insn, span, source, out)


def _copy(layer: int, source: View, out: View) -> Instruction:
    limits = (0, 0) if out.is_float else CODES[out.dtype]
    ints = dict(zip(CLAMP_SLOTS, limits, strict=True))
    return Instruction(Op.MAP, layer, [source], [out], {}, ints, {3: 1.0, 4: 1.0})


def _part(insn: Instruction, span: Span, source: View | _Ring, out: View | _Ring) -> Instruction:
    """Return the instruction that computes output rows `span` only."""
    rows = Rows.of(insn)
    above, below = rows.pads(*span)
    extra = [None if view is None else _rows(view, span) for view in insn.inputs[1:]]
    outputs = [_rows(out, span), *(_rows(view, span) for view in insn.outputs[1:])]
    return replace(
        insn,
        inputs=[_rows(source, rows.needed(*span)), *extra],
        outputs=outputs,
        ints={**insn.ints, _TOP: above, _BOTTOM: below},
    )


def _rows(view: View | _Ring, span: Span) -> View:
    first, end = span
    if isinstance(view, _Ring):
        return view.view(first, end)
    offset = view.offset + first * view.strides[1]
    return replace(view, dims=(1, end - first, *view.dims[2:]), offset=offset)
