"""Collects the instructions, constants and buffer lifetimes of one NPU bundle."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.isa import CODES, INSN_RES_AFTER_ACT, MAX_RANK, Act, Op
from maccel_aio.compiler.pointwise import FLOAT_MAX
from maccel_aio.compiler.view import FOREVER, Buffer, View

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maccel_aio.compiler.ir import Activation, Array

ACT_SLOT = 11
CLAMP_SLOTS = (12, 13)
_IN_PLACE = {
    Op.MAP: (0,),
    Op.ELTWISE: (0, 1),
    Op.CONV: (1,),
    Op.DWCONV: (1,),
    Op.CONVF: (1,),
}


@dataclass
class Instruction:
    """One record of the program; views are in physical dimension order.

    Attributes:
        ints: value of every integer slot in use.
        floats: value of every float slot in use.
    """

    op: Op
    layer: int
    inputs: list[View | None]
    outputs: list[View]
    consts: dict[int, int] = field(default_factory=dict)
    ints: dict[int, int] = field(default_factory=dict)
    floats: dict[int, float] = field(default_factory=dict)
    flags: int = 0


@dataclass
class ProgramInput:
    """One input of a bundle.

    Attributes:
        view: in physical dimension order.
        table: number of a u8 [C][256] constant, or None.
    """

    view: View
    table: int | None = None


class Emitter:
    """Builds one program. Used by one thread."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.constants: list[Array] = []
        self.buffers: list[Buffer] = []
        self.inputs: list[ProgramInput] = []
        self.outputs: list[View] = []
        self.layer = 0
        #: Layers that run band by band, and in how many bands.
        self.bands: dict[int, int] = {}
        self._numbers: dict[tuple[str, tuple[int, ...], bytes], int] = {}

    def buffer(self, size: int) -> Buffer:
        """Return new memory of `size` bytes."""
        made = Buffer(max(int(size), 1))
        self.buffers.append(made)
        return made

    def constant(self, value: Array) -> int:
        """Return the number of a constant; equal ones are stored once."""
        array = np.ascontiguousarray(value)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._numbers:
            self._numbers[key] = len(self.constants)
            self.constants.append(array)
        return self._numbers[key]

    def input(self, view: View, table: Array | None) -> None:
        """Add an input of the program; `view` is in physical order."""
        view.buffer.use(-1)
        number = None if table is None else self.constant(table)
        self.inputs.append(ProgramInput(view, number))

    def output(self, view: View) -> None:
        """Add an output of the program; `view` is in physical order."""
        view.buffer.use(FOREVER)
        self.outputs.append(view)

    def emit(
        self,
        op: Op,
        inputs: Sequence[View | None],
        outputs: Sequence[View],
        *,
        consts: Mapping[int, Array] | None = None,
        ints: Mapping[int, int] | None = None,
        floats: Mapping[int, float] | None = None,
        flags: int = 0,
    ) -> Instruction:
        """Append an instruction; multipliers 3 and 4 are 1 where not given."""
        step = len(self.instructions)
        for view in (*inputs, *outputs):
            if view is not None:
                view.buffer.use(step)
        made = Instruction(op, self.layer, list(inputs), list(outputs), flags=flags)
        made.consts = {slot: self.constant(value) for slot, value in (consts or {}).items()}
        made.ints = {k: int(v) for k, v in (ints or {}).items()}
        made.floats = {3: 1.0, 4: 1.0} | {k: float(v) for k, v in (floats or {}).items()}
        self.instructions.append(made)
        return made

    def merge_in_place(self) -> None:
        """Let elementwise results overwrite an input that nobody needs any more."""
        for step, insn in enumerate(self.instructions):
            for slot in _IN_PLACE.get(insn.op, ()):
                if slot < len(insn.inputs) and self._may_merge(insn, slot, step):
                    source = insn.inputs[slot]
                    if source is not None:
                        _merge(insn.outputs[0].buffer.root, source.buffer.root)
                    break

    def replace(self, instructions: Sequence[Instruction]) -> None:
        """Let the program be these instructions; lifetimes follow from them, merges stay."""
        for buffer in self.buffers:
            buffer.first, buffer.last = FOREVER, -1
        for given in self.inputs:
            given.view.buffer.root.use(-1)
        for out in self.outputs:
            out.buffer.root.use(FOREVER)
        self.instructions = list(instructions)
        for step, insn in enumerate(self.instructions):
            for view in (*insn.inputs, *insn.outputs):
                if view is not None:
                    view.buffer.root.use(step)

    @staticmethod
    def _may_merge(insn: Instruction, slot: int, step: int) -> bool:
        source, out = insn.inputs[slot], insn.outputs[0]
        if source is None or not _same_place(source, out):
            return False
        old, new = source.buffer.root, out.buffer.root
        others = [v for k, v in enumerate(insn.inputs) if v is not None and k != slot]
        others += insn.outputs[1:]
        shared = any(v.buffer.root is old for v in others)
        fits = old is not new and old.size >= new.size
        return fits and old.last == step and new.first == step and not shared


def _same_place(a: View, b: View) -> bool:
    return (a.offset, a.dims, a.strides, a.item) == (b.offset, b.dims, b.strides, b.item)


def _merge(new: Buffer, old: Buffer) -> None:
    new.alias = old
    old.first, old.last = min(old.first, new.first), max(old.last, new.last)


# ---- epilogues


@dataclass(frozen=True)
class Epilogue:
    """What follows the sum of an instruction: activation, output multiplier and clamp.

    Attributes:
        unit: factor that the values carry when the activation sees them (1 / output scale when
            requantisation is folded into the multipliers before, else 1).
    """

    unit: float
    ints: dict[int, int]
    floats: dict[int, float]
    consts: dict[int, Array]


FOLDABLE = (None, "none", "clamp", "leaky", "prelu")
"""Activations that commute with a positive factor."""


def code_range(view: View, act: Activation | None, *, use_act: bool = True) -> tuple[int, int]:
    """Return the codes between which a stored result lies."""
    if view.is_float:
        return (0, 0)
    low, high = CODES[view.dtype]
    if not use_act or act is None or act.kind != "clamp":
        return low, high

    def code(value: float) -> int:
        scaled = max(min(value / view.scale, 1e9), -1e9)
        return min(max(int(np.rint(scaled)) + view.zero, low), high)

    return code(act.a), code(act.b)


def epilogue(
    out: View, act: Activation | None, *, keep_clamp: bool = False, fold: bool = True
) -> Epilogue:
    """Return the epilogue that stores ``act(value)`` in `out`.

    Args:
        out: where it goes.
        act: the activation, or None.
        keep_clamp: a clamp must act before something else, so it cannot become code limits.
        fold: let the multipliers before the activation carry the output scale where they can.
    """
    kind = None if act is None or act.kind == "none" else act.kind
    folded = fold and not out.is_float and kind in FOLDABLE
    unit = 1.0 / out.scale if folded else 1.0
    ints, floats, consts = dict[int, int](), dict[int, float](), dict[int, "Array"]()
    limits = not out.is_float and not keep_clamp
    low, high = code_range(out, act, use_act=limits)
    ints[CLAMP_SLOTS[0]], ints[CLAMP_SLOTS[1]] = low, high
    floats[3] = 1.0 if folded or out.is_float else 1.0 / out.scale
    if act is not None and kind is not None and not (kind == "clamp" and limits):
        ints[ACT_SLOT] = Act[kind.upper()]
        factor = unit if kind == "clamp" else 1.0
        limit = math.inf if kind == "clamp" else FLOAT_MAX  # an open clamp is infinite in mxq.h
        floats[0], floats[1] = _bounded(act.a * factor, limit), _bounded(act.b * factor, limit)
        if act.slope is not None:
            consts[4] = np.asarray(act.slope, np.float32)
    return Epilogue(unit, ints, floats, consts)


def _bounded(value: float, limit: float) -> float:
    return math.copysign(limit, value) if abs(value) >= FLOAT_MAX else value


# ---- physical views


def collapse(views: Sequence[View], keep_last: bool = False) -> list[View]:
    """Return views of equal dims with neighbouring dimensions joined where all of them allow it."""
    dims = views[0].dims
    groups: list[list[int]] = []
    for d in range(len(dims)):
        if dims[d] == 1 and not (keep_last and d == len(dims) - 1):
            continue
        alone = not groups or (keep_last and d == len(dims) - 1)
        if alone or not all(_adjacent(v, groups[-1][-1], d) for v in views):
            groups.append([d])
        else:
            groups[-1].append(d)
    if not groups:
        groups = [[len(dims) - 1]] if dims else [[]]
    return [_joined(view, groups) for view in views]


def _adjacent(view: View, outer: int, inner: int) -> bool:
    return view.strides[outer] == view.strides[inner] * view.dims[inner]


def _joined(view: View, groups: Sequence[Sequence[int]]) -> View:
    dims = tuple(math.prod(view.dims[d] for d in group) for group in groups)
    strides = tuple(view.strides[group[-1]] if group else view.item for group in groups)
    return View(view.buffer, dims, strides, view.dtype, view.scale, view.zero, view.offset, False)


def by_memory(views: Sequence[View], last: int | None = None) -> list[View]:
    """Return views of equal dims in the memory order of the last one, joined where possible.

    Args:
        views: inputs, then the output whose order counts.
        last: a dimension that must be the innermost and stay alone (per-channel values).
    """
    order = [d for d in views[-1].order() if d != last]
    if last is not None:
        order.append(last)
    return collapse([view.permute(order) for view in views], keep_last=last is not None)


def residual_flag(after_act: bool) -> int:
    """Return the instruction flag for the place of the residual."""
    return INSN_RES_AFTER_ACT if after_act else 0


def check_rank(views: Sequence[View]) -> bool:
    """Whether the instruction set has room for all dimensions."""
    return all(len(view.dims) <= MAX_RANK for view in views)
