"""What a model keeps from one call to the next, as its manifest describes it (docs/mxq.md)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from maccel_aio.errors import ModelFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maccel_aio._core._types import TensorSpec

#: Most contexts that a model may keep apart.
MAX_SLOTS = 4096


class CacheSpec(NamedTuple):
    """One tensor of state: an input that the runtime feeds, and the output that goes back to it."""

    name: str
    #: Names of the input and the output of every variant.
    input: str
    output: str
    #: ONNX dimension along which the output is written at the request's ``cache_size``; None when
    #: the output replaces the whole.
    axis: int | None

    @property
    def layer_hash(self) -> str:
        """A name for files: the same for the same tensor of the same model."""
        text = f"{self.name}\0{self.input}\0{self.output}\0{self.axis}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class StateSpec(NamedTuple):
    """All state of a model."""

    #: How many contexts it keeps apart: valid values of ``cache_id`` are below.
    slots: int
    #: The input that gets the request's ``cache_size`` as a float, or None.
    length: str | None
    #: Inputs and outputs of callers with a dimension over tokens, and which one that is.
    tokens: dict[str, int]
    caches: tuple[CacheSpec, ...]

    @property
    def hidden(self) -> frozenset[str]:
        """Inputs and outputs that callers do not see."""
        names = {name for cache in self.caches for name in (cache.input, cache.output)}
        return frozenset(names if self.length is None else names | {self.length})

    @property
    def appends(self) -> bool:
        """Whether every tensor of the state grows by rows."""
        return all(cache.axis is not None for cache in self.caches)


def parse_state(entry: Mapping[str, Any] | None) -> StateSpec | None:
    """Parse the ``state`` of a manifest.

    Raises:
        ModelFormatError: if it contradicts itself.
        KeyError: if a field is missing; also TypeError and ValueError, as for the whole manifest.
    """
    if not entry:
        return None
    length = entry.get("length")
    spec = StateSpec(
        slots=int(entry["slots"]),
        length=None if length is None else str(length),
        tokens={str(name): int(axis) for name, axis in entry["tokens"].items()},
        caches=tuple(_cache(item) for item in entry["caches"]),
    )
    names = [name for cache in spec.caches for name in (cache.input, cache.output)]
    if not spec.caches or len(set(names)) != len(names):
        raise ModelFormatError("the state names no tensors, or one of them twice")
    if len({cache.name for cache in spec.caches}) != len(spec.caches):
        raise ModelFormatError("two tensors of the state have the same name")
    if not 1 <= spec.slots <= MAX_SLOTS:
        raise ModelFormatError(f"the state has {spec.slots} slots: 1 to {MAX_SLOTS} are possible")
    return spec


def _cache(entry: Mapping[str, Any]) -> CacheSpec:
    axis = entry.get("axis")
    return CacheSpec(
        str(entry["name"]), str(entry["input"]), str(entry["output"]),
        None if axis is None else int(axis),
    )  # fmt: skip


def check_state(
    spec: StateSpec, inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec]
) -> None:
    """Check the state against the tensors of one variant.

    Raises:
        ModelFormatError: if a tensor is missing or does not suit its part.
    """
    for cache in spec.caches:
        _check_cache(cache, inputs, outputs)
    if spec.length is not None:
        length = inputs.get(spec.length)
        if length is None or any(dim != 1 for dim in length.shape):
            raise ModelFormatError(f"the input {spec.length!r} cannot take a length")
    elif any(cache.axis is not None for cache in spec.caches):
        raise ModelFormatError("the state grows, but no input takes its length")
    for name, axis in spec.tokens.items():
        tensor = inputs.get(name) or outputs.get(name)
        if tensor is None or name in spec.hidden or not _is_inner(axis, tensor):
            raise ModelFormatError(f"the tensor {name!r} has no dimension {axis} over tokens")
    _check_tokens(spec, inputs, outputs)
    if all(tensor.batch_axis is None for tensor in inputs.values()) and any(
        tensor.batch_axis == 0 for tensor in outputs.values()
    ):
        raise ModelFormatError("outputs have a batch dimension, but no input has one")
    if not {*inputs} - spec.hidden or not {*outputs} - spec.hidden:
        raise ModelFormatError("the state leaves no input, or no output, for the caller")


def _check_tokens(
    spec: StateSpec, inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec]
) -> None:
    tensors = {**inputs, **outputs}
    counts = {tensors[name].shape[axis] for name, axis in spec.tokens.items()}
    if spec.tokens and (len(counts) > 1 or not any(name in inputs for name in spec.tokens)):
        raise ModelFormatError("the tensors do not agree in their number of tokens")
    width = counts.pop() if counts else 1
    for cache in spec.caches:
        if cache.axis is not None and outputs[cache.output].shape[cache.axis] != width:
            raise ModelFormatError(f"the state {cache.name!r} does not grow by {width} a step")


def _is_inner(axis: int, tensor: TensorSpec) -> bool:
    """Return whether a dimension exists and is not the one over items."""
    return (0 if tensor.batch_axis is None else 1) <= axis < len(tensor.shape)


def _check_cache(
    cache: CacheSpec, inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec]
) -> None:
    source, result = inputs.get(cache.input), outputs.get(cache.output)
    if source is None or result is None:
        raise ModelFormatError(f"the state {cache.name!r} lacks its input or its output")
    kept, made = list(source.shape), list(result.shape)
    fits = len(kept) == len(made) and source.batch_axis == result.batch_axis
    if fits and cache.axis is not None:
        fits = _is_inner(cache.axis, source) and made[cache.axis] <= kept[cache.axis]
        made[cache.axis : cache.axis + 1] = kept[cache.axis : cache.axis + 1]
    if not fits or kept != made:
        raise ModelFormatError(
            f"the state {cache.name!r} of shape {list(source.shape)} cannot take "
            f"{list(result.shape)}"
        )
