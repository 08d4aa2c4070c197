"""State of lowering one bundle: where every tensor lies, and the moves that all operators share."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import FLOAT, CompileError, Graph, Node, TensorQuant
from maccel_aio.compiler.isa import ITEMSIZE, Elt, Op
from maccel_aio.compiler.layout import Order, assign_orders, channels_last
from maccel_aio.compiler.lower.emit import Emitter, by_memory, epilogue
from maccel_aio.compiler.view import View, packed_strides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maccel_aio.compiler.ir import Activation, Array
    from maccel_aio.compiler.lower.linear import QuantisedRows

CHANNEL_PITCH = 16
"""Pixels of 8-bit images start at multiples of this many bytes."""

PITCHED_READERS = frozenset(
    {
        "Conv",
        "ConvTranspose",
        "MaxPool",
        "AveragePool",
        "Resize",
        "Activation",
        "Add",
        "Mul",
        "Reduce",
    }
)


class Context:
    """Tensors of one bundle while its instructions are emitted. Used by one thread.

    Attributes:
        views: tensor name -> where it lies; filled in node order.
        copies: tensor name -> node that only converts it, and that its producer may write too.
        bordered: input name -> (view with border, pads): see `add_border`.
        done: names of tensors that were written ahead of their node.
        quantised_rows: rows that got a scale each, by tensor and column factors; see `linear`.
    """

    def __init__(
        self, graph: Graph, nodes: Sequence[Node], inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        self.graph = graph
        self.nodes = list(nodes)
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.emitter = Emitter()
        self.orders = assign_orders(graph, nodes, inputs)
        self.views: dict[str, View] = {}
        self.targets: dict[str, View] = {}
        self.placements: dict[str, tuple[str, int, int]] = {}
        self.bordered: dict[str, tuple[View, tuple[int, int, int, int]]] = {}
        self.copies: dict[str, Node] = {}
        self.done: set[str] = set()
        self.quantised_rows: dict[tuple[str, bytes | None], QuantisedRows] = {}
        self.readers: dict[str, list[Node]] = {}
        for node in nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)

    # ---- reading

    def quant(self, name: str) -> TensorQuant:
        """Return the format in which a tensor is stored."""
        quant = self.graph.tensors[name].storage
        if quant.channel_scale is not None:
            raise CompileError(f"tensor {name!r}: scales per channel are not lowered")
        return quant

    def view(self, name: str) -> View:
        """Return where a tensor lies; constants are written to memory as float."""
        value = self.graph.const(name)
        if value is None:
            return self.views[name]
        return self.const_view(np.asarray(value, np.float32))

    def const_view(self, value: Array) -> View:
        """Return new float memory that holds a constant."""
        flat = value.reshape(-1)
        if np.all(flat == flat[0]):
            single = self.fresh((1,), FLOAT)
            self.emitter.emit(Op.FILL, [], [single], floats={0: float(flat[0])})
            return self.reshaped(single, ()).expand(value.shape)
        out = self.fresh((flat.size,), FLOAT)
        self.write_const(flat, out)
        return self.reshaped(out, value.shape)

    def write_const(self, value: Array, out: View) -> None:
        """Write a constant of the same dims into `out`: zero plus the constant."""
        zero = self.fresh((1,), FLOAT)
        self.emitter.emit(Op.FILL, [], [zero], floats={0: 0.0})
        source = zero.expand(out.dims)
        tail = epilogue(out, None, fold=False)
        self.emitter.emit(
            Op.ELTWISE,
            [source],
            [out],
            consts={5: np.ascontiguousarray(value, np.float32)},
            ints={10: Elt.ADD, **tail.ints},
            floats={5: 1.0, **tail.floats},
        )

    def as_float(self, view: View) -> View:
        """Return a float copy of `view`, or the view itself when it is float."""
        if view.is_float:
            return view
        return self.copied(view, FLOAT, view.order())

    def image(self, view: View) -> View:
        """Return a rank 3 or 4 view as [n, h, w, c] with adjacent channels."""
        last = channels_last(len(view.dims))
        if view.dims[1] != 1 and view.strides[1] != view.item:
            view = self.copied(view, view.quant, last)
        return as_image(view)

    # ---- writing

    def fresh(self, dims: Sequence[int], quant: TensorQuant, order: Order | None = None) -> View:
        """Return new memory for `dims`, packed in `order` (row-major without one)."""
        item = ITEMSIZE[quant.dtype]
        strides = packed_strides(dims, order or tuple(range(len(dims))), item)
        buffer = self.emitter.buffer(math.prod(dims) * item)
        return View(buffer, tuple(dims), tuple(strides), quant.dtype, quant.scale, quant.zero)

    def target(self, name: str) -> View:
        """Return the memory that tensor `name` is to be written to, the same at every call."""
        if name not in self.targets:
            placed = self.placements.get(name)
            if placed is None:
                self.targets[name] = self._allocate(name)
            else:
                parent, axis, start = placed
                size = self.graph.tensors[name].dims[axis]
                self.targets[name] = self.target(parent).part(axis, start, size)
        return self.targets[name]

    def _allocate(self, name: str) -> View:
        dims, quant, order = self.graph.tensors[name].dims, self.quant(name), self.orders[name]
        if not self._pitched(name, quant, order):
            return self.fresh(dims, quant, order)
        pitch = -(-dims[1] // CHANNEL_PITCH) * CHANNEL_PITCH
        strides = packed_strides(dims, order, 1, pitch)
        buffer = self.emitter.buffer(math.prod(dims) // dims[1] * pitch)
        return View(
            buffer, dims, tuple(strides), quant.dtype, quant.scale, quant.zero, 0, pad_channels=True
        )

    def _pitched(self, name: str, quant: TensorQuant, order: Order) -> bool:
        """Whether pixels are padded: 8-bit images that only image operators read."""
        dims = self.graph.tensors[name].dims
        if quant.dtype != "u8" or len(dims) != 4 or order != channels_last(4):
            return False
        few = dims[1] < CHANNEL_PITCH // 2  # padding would more than double the memory
        if few or dims[1] % CHANNEL_PITCH == 0 or name in (*self.outputs, *self.inputs):
            return False
        readers = self.readers.get(name, [])
        return bool(readers) and all(node.op in PITCHED_READERS for node in readers)

    def write(self, name: str) -> View:
        """Return the target of `name` and note that it is about to be written."""
        view = self.target(name)
        self.views[name] = view
        return view

    def bind(self, name: str, view: View) -> None:
        """Let tensor `name` lie where `view` is; converted if its format differs."""
        if view.stored_as(self.quant(name)) and name not in self.placements:
            self.views[name] = view
            return
        self.copy(view, self.write(name))

    def copied(self, view: View, quant: TensorQuant, order: Order) -> View:
        """Return new memory in `order` with the elements of `view` in format `quant`."""
        out = self.fresh(view.dims, quant, order)
        self.copy(view, out)
        return out

    def copy(self, source: View, out: View, act: Activation | None = None) -> None:
        """Copy elements between views of equal dims, with conversion and activation."""
        last = None
        if act is not None and act.kind == "prelu":
            last = 1 if len(out.dims) > 1 else 0
        views = by_memory([source, out], last)
        same = (source.dtype, source.scale, source.zero) == (out.dtype, out.scale, out.zero)
        if same and (act is None or act.kind == "none"):
            # Equal multipliers of 1: the bytes are copied.
            tail = epilogue(replace(out, scale=1.0), None)
            self.emitter.emit(Op.MAP, views[:1], views[1:], ints=tail.ints)
            return
        tail = epilogue(out, act)
        floats = {**tail.floats, 4: source.scale * tail.unit}
        self.emitter.emit(
            Op.MAP, views[:1], views[1:], ints=tail.ints, floats=floats, consts=tail.consts
        )

    def fill(self, out: View, value: float) -> None:
        """Set every element of `out` to a real number, as near as its format allows."""
        (view,) = by_memory([out])
        if out.is_float:
            self.emitter.emit(Op.FILL, [], [view], floats={0: value})
            return
        code = int(np.rint(value / out.scale)) + out.zero
        low, high = epilogue(out, None).ints[12], epilogue(out, None).ints[13]
        self.emitter.emit(Op.FILL, [], [view], ints={0: min(max(code, low), high)})

    def reshaped(self, view: View, dims: Sequence[int]) -> View:
        """Return the elements of `view` as `dims`, copied if they do not lie so."""
        found = view.reshape(dims)
        if found is None:
            packed = self.copied(view, view.quant, tuple(range(len(view.dims))))
            found = packed.reshape(dims)
        assert found is not None
        return found


def as_image(view: View) -> View:
    """Return a rank 3 or 4 view as [n, h, w, c] without looking at the strides."""
    if len(view.dims) == 3:
        wide = replace(
            view,
            dims=(view.dims[0], view.dims[1], 1, view.dims[2]),
            strides=(
                view.strides[0],
                view.strides[1],
                view.strides[2] * view.dims[2],
                view.strides[2],
            ),
        )
        return wide.permute((0, 2, 3, 1))
    return view.permute((0, 2, 3, 1))
