"""A call of a model with state as steps: one request each, whose hidden tensors are the state.

A step takes as many tokens as the program has room for; the last one of a call is filled up with
zeros, whose rows come after all that counts and are overwritten by the next call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from maccel_aio._core import _shapes
from maccel_aio.errors import InvalidError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from maccel_aio._core._state import State
    from maccel_aio._core._types import TensorSpec
    from maccel_aio._typing import Array


class Item(Protocol):
    """One sequence of a call: what it brings, what its slot holds, and which slot that is."""

    @property
    def sequence_length(self) -> int: ...

    @property
    def cache_size(self) -> int: ...

    @property
    def cache_id(self) -> int: ...


class BatchParam(NamedTuple):
    """One sequence of a call with several."""

    #: Tokens that the call brings for it.
    sequence_length: int = 0
    #: Tokens that its slot holds before.
    cache_size: int = 0
    cache_id: int = 0


class Step(NamedTuple):
    """One request."""

    variant: int
    #: All inputs and all outputs, by name and in full ONNX shape (images: in the caller's order).
    inputs: dict[str, Array]
    #: Where the new rows of the state belong.
    outputs: dict[str, Array]
    #: Tokens that count, and which item they are of.
    tokens: int
    item: int


class Steps(NamedTuple):
    """A call that fits the model.

    Attributes:
        state: of the model.
        items: the sequences, checked.
        arrays: the caller's inputs by name, with every batch dimension.
        batched: whether the caller's arrays had one.
        hwc: layout of the caller's images.
        out: the caller's arrays for outputs, or None.
    """

    state: State
    items: tuple[BatchParam, ...]
    arrays: dict[str, Array]
    batched: bool
    hwc: bool | None
    out: list[Array] | None

    @property
    def slots(self) -> list[int]:
        """The slots that it uses."""
        return [item.cache_id for item in self.items]

    def each(self) -> Iterator[Step]:
        """Make the steps, one after the other: a step's inputs are ready when it is asked for."""
        start = 0
        for number, item in enumerate(self.items):
            done = 0
            while done < item.sequence_length:
                step = self._step(number, start + done, item.sequence_length - done, done)
                yield step
                done += step.tokens
            start += item.sequence_length

    def check(self) -> None:
        """Check that the steps come out even, and the caller's ``out``.

        Raises:
            ShapeError: if they do not.
            InvalidError: if an array of ``out`` is read-only.
        """
        rooms, pads = self.state.rooms, self.state.pads
        for item in self.items:
            left = item.sequence_length
            while left > 0:
                chosen = _choose(rooms, left, pads)
                if chosen is None:
                    raise ShapeError(
                        f"{item.sequence_length} tokens: the model takes multiples of {min(rooms)}"
                    )
                left -= rooms[chosen]
        if self.out is not None:
            self._check_out(self.out)

    def _check_out(self, out: list[Array]) -> None:
        wanted = [(tensor.dtype, self._result(tensor)) for tensor in self.state.outputs]
        got = [(array.dtype.name, array.shape) for array in out]
        if got != wanted:
            raise ShapeError(f"out must hold arrays of {wanted}, got {got}")
        if not all(array.flags.writeable for array in out):
            raise InvalidError("an array for outputs is read-only")

    def _step(self, number: int, start: int, left: int, done: int) -> Step:
        state = self.state
        item, spec, rooms = self.items[number], state.spec, state.rooms
        chosen = _choose(rooms, left, state.pads)
        assert chosen is not None  # checked
        variant, width = state.variants[chosen], rooms[chosen]
        count, at = min(width, left), item.cache_size + done
        inputs = {
            name: _cut(array, spec.tokens.get(name), start, count, width)
            for name, array in self.arrays.items()
        }
        if spec.length is not None:
            inputs[spec.length] = np.full(variant.values[spec.length].shape, at, np.float32)
        outputs: dict[str, Array] = {}
        for cache in state.caches:
            inputs[cache.spec.input] = cache.whole(item.cache_id)
            outputs[cache.spec.output] = cache.rows(item.cache_id, at, at + width)
        for tensor in (variant.values[one.name] for one in state.outputs):
            outputs[tensor.name] = np.empty(self._shape(tensor), tensor.dtype)
        return Step(chosen, inputs, outputs, count, number)

    def _shape(self, tensor: TensorSpec) -> tuple[int, ...]:
        item = _shapes.item_shape(tensor, self.hwc)
        return (1, *item) if tensor.batch_axis == 0 else item

    def _result(self, tensor: TensorSpec) -> tuple[int, ...]:
        """Return the shape in which an output comes back."""
        axis, shape = self.state.spec.tokens.get(tensor.name), list(self._shape(tensor))
        if axis is None:
            shape[min(1, len(shape) - 1)] *= len(self.items)
        else:
            shape[axis] = sum(item.sequence_length for item in self.items)
        return tuple(shape[1:] if tensor.batch_axis == 0 and not self.batched else shape)

    def join(self, steps: Sequence[Step]) -> list[Array]:
        """Return the caller's outputs: rows of all tokens in order, or of the last of each item."""
        made: list[Array] = []
        for tensor in self.state.outputs:
            axis = self.state.spec.tokens.get(tensor.name)
            if axis is None:
                parts = [step.outputs[tensor.name] for step in _last_of_items(steps)]
            else:
                parts = [_span(step.outputs[tensor.name], axis, 0, step.tokens) for step in steps]
            along = min(1, parts[0].ndim - 1) if axis is None else axis
            joined = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=along)
            made.append(joined[0] if tensor.batch_axis == 0 and not self.batched else joined)
        return made if self.out is None else _fill(self.out, made)


def split(
    state: State,
    arrays: Sequence[Array],
    out: list[Array] | None,
    cache_size: int,
    params: Sequence[Item] | None,
) -> Steps:
    """Check a call and divide it.

    Args:
        state: of the model.
        arrays: the caller's inputs.
        out: the caller's arrays for outputs, or None.
        cache_size: of slot 0, unless ``params`` are given.
        params: one entry a sequence; their tokens follow each other in the inputs.

    Raises:
        ShapeError: if the arrays do not fit.
        InvalidError: if sizes or slots are not possible.
        CacheOverflowError: if the tokens find no room.
    """
    tensors, tokens = state.inputs, state.spec.tokens
    found = _layout([spec for spec in tensors if spec.name not in tokens], tensors, arrays)
    full = [_full(spec, tokens.get(spec.name), found, a) for spec, a in _pairs(tensors, arrays)]
    fitting = [array for array in full if array is not None]
    totals = {
        array.shape[tokens[spec.name]]
        for spec, array in zip(tensors, fitting, strict=False)
        if spec.name in tokens
    }
    batches = {
        given.ndim == array.ndim
        for spec, given, array in zip(tensors, arrays, fitting, strict=False)
        if spec.batch_axis == 0
    }
    if len(fitting) != len(tensors) or len(totals) > 1 or len(batches) > 1:
        raise ShapeError(_misfit(tensors, tokens, arrays))
    items = _items(state, totals.pop() if totals else None, cache_size, params)
    named = {spec.name: array for spec, array in zip(tensors, fitting, strict=True)}
    steps = Steps(state, items, named, True in batches, found.hwc, out)
    steps.check()
    return steps


def _pairs(
    tensors: Sequence[TensorSpec], arrays: Sequence[Array]
) -> Iterator[tuple[TensorSpec, Array]]:
    if len(tensors) != len(arrays):
        raise ShapeError(f"the model takes {len(tensors)} arrays, got {len(arrays)}")
    return zip(tensors, arrays, strict=True)


def _layout(
    plain: Sequence[TensorSpec], tensors: Sequence[TensorSpec], arrays: Sequence[Array]
) -> _shapes.Match:
    """Return the layout of the images among the inputs; anything where none fits."""
    names = {spec.name for spec in plain}
    shapes = [array.shape for spec, array in _pairs(tensors, arrays) if spec.name in names]
    found = _shapes.match(plain, shapes) if plain else None
    return _shapes.Match(None, 1, False) if found is None else found


def _full(spec: TensorSpec, axis: int | None, found: _shapes.Match, array: Array) -> Array | None:
    """Return an input with its batch dimension; None when it does not fit."""
    item = _shapes.item_shape(spec, found.hwc)
    wanted = (1, *item) if spec.batch_axis == 0 else item
    short = spec.batch_axis == 0 and array.ndim == len(wanted) - 1
    full: Array = array[np.newaxis] if short else array
    if full.ndim != len(wanted):
        return None
    fits = (
        have == want or (place == axis and have > 0)
        for place, (have, want) in enumerate(zip(full.shape, wanted, strict=True))
    )
    return full if all(fits) else None


def _misfit(
    tensors: Sequence[TensorSpec], tokens: Mapping[str, int], arrays: Sequence[Array]
) -> str:
    wanted = "; ".join(
        f"{spec.name}: {_shown(spec.shape, tokens.get(spec.name))}" for spec in tensors
    )
    got = ", ".join(f"{array.dtype} {array.shape}" for array in arrays)
    return f"the arrays do not fit the model: expected {wanted}; got {got}"


def _shown(shape: tuple[int, ...], axis: int | None) -> str:
    dims = ["tokens" if place == axis else str(dim) for place, dim in enumerate(shape)]
    return f"({', '.join(dims)})"


def _items(
    state: State, total: int | None, cache_size: int, params: Sequence[Item] | None
) -> tuple[BatchParam, ...]:
    """Return the sequences of a call, checked.

    Args:
        state: of the model.
        total: tokens in the inputs; None when the model does not count any.
        cache_size: of slot 0.
        params: of several sequences.
    """
    if not params:
        made = [BatchParam(1 if total is None else total, int(cache_size), 0)]
    else:
        made = [BatchParam(p.sequence_length, p.cache_size, p.cache_id) for p in params]
        if total is None:
            made = [item._replace(sequence_length=1) for item in made]
    slots = [state.check_slot(item.cache_id) for item in made]
    if len(set(slots)) != len(slots) or (total is None and len(made) > 1):
        raise InvalidError("a slot can have one sequence of a call, and a call without tokens one")
    if any(item.sequence_length < 1 for item in made):
        raise InvalidError("every sequence brings at least one token")
    brought = sum(item.sequence_length for item in made)
    if total is not None and brought != total:
        raise ShapeError(f"the sequences have {brought} tokens together, the inputs have {total}")
    for item in made:
        state.check_room(item.cache_size, item.sequence_length)
    return tuple(made)


def _choose(rooms: Sequence[int], left: int, pads: bool) -> int | None:
    """Return which variant takes the next tokens: all that is left, or as many as it can.

    Args:
        rooms: tokens of a step of each variant.
        left: tokens to come, at least 1.
        pads: whether a step may be filled up with zeros.
    """
    whole = [index for index, size in enumerate(rooms) if size <= left]
    more = [index for index, size in enumerate(rooms) if size >= left]
    if more and (pads or any(rooms[index] == left for index in more)):
        return min(more, key=rooms.__getitem__)
    return max(whole, key=rooms.__getitem__) if whole else None


def _cut(array: Array, axis: int | None, start: int, count: int, width: int) -> Array:
    """Return the tokens of a step, filled up with zeros to its width."""
    if axis is None:
        return array
    part = _span(array, axis, start, start + count)
    if count == width:
        return part
    room = list(part.shape)
    room[axis] = width
    made = np.zeros(room, part.dtype)
    _span(made, axis, 0, count)[...] = part
    return made


def _span(array: Array, axis: int, start: int, stop: int) -> Array:
    view: Array = array[(slice(None),) * axis + (slice(start, stop),)]
    return view


def _last_of_items(steps: Sequence[Step]) -> list[Step]:
    """Return the last step of every item."""
    return list({step.item: step for step in steps}.values())


def _fill(out: list[Array], made: list[Array]) -> list[Array]:
    for array, value in zip(out, made, strict=True):
        array[...] = value
    return out
